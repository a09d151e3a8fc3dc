"""Patterns of a program's update: signs, normalisations, weight decay, clipping and masks."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from programs.algebra.signs import is_never_negative, never_negative_state
from programs.kinds import SCALAR, TENSOR
from programs.understanding.anatomy import Anatomy
from programs.understanding.memory_patterns import Finder, Found, incoming
from programs.understanding.phrasing import expression, number, phrase
from programs.understanding.recurrence import Course, Roles

_LONG = 80  # characters of an expression that is written out if nothing else is said
_ROOTS = {"sqrt": "the square root of ", "cbrt": "the cube root of ", "power": "a power of "}


def normalisation(courses: set[Course], roots: set[str]) -> Finder:
    """Make a finder of divisions by a root of a second moment, or for ``""`` by the moment itself."""

    def find(roles: Roles) -> Iterator[Found]:
        anatomy = roles.anatomy
        for _, head, arguments in anatomy.calls:
            if head in ("divide", "reciprocal"):
                inner = anatomy.core(arguments[-1])
                moment = _moment(roles, inner)
                if moment and moment.root in roots and roles.recurrences[moment.name].course in courses:
                    yield inner, f"division by {moment.words}", ()

    return find


def scaling_by_root(roles: Roles) -> Iterator[Found]:
    """Find products with the root of a second moment."""
    for place, product in roles.anatomy.products.items():
        for top in {top for top in product.tops if roles.anatomy.function(top) in _ROOTS}:
            if moment := _moment(roles, top):
                yield place, f"multiplication by {moment.words}", ()


@dataclass(frozen=True)
class _Moment:
    """A second moment, or its root.

    Attributes:
        root: The function that computes the root; empty for the moment itself.
        name: The state variable.
        words: A description for sentences.
    """

    root: str
    name: str
    words: str


def _moment(roles: Roles, place: int) -> _Moment | None:
    """Read a value as a second moment, or a root of one, possibly plus other values that are never negative."""
    anatomy = roles.anatomy
    root = anatomy.function(place) if anatomy.function(place) in _ROOTS else ""
    if root == "power" and not (anatomy.late[anatomy.arguments(place)[1]] or 0.0) > 0.0:
        return None
    inner = anatomy.core(anatomy.arguments(place)[0]) if root else place
    terms = {inner: 1.0} if inner in anatomy.next_of else anatomy.terms(inner)
    nexts = {anatomy.usual(place): name for place, name in anatomy.next_of.items()} | anatomy.next_of
    terms = {inner: 1.0} if inner in nexts else terms
    names = {atom: nexts.get(atom) or anatomy.input(atom) for atom in terms}
    moments = [atom for atom, name in names.items() if name in roles.second_moments]
    name = next((names[atom] for atom in moments if terms[atom] > 0.0), None)
    others = [atom for atom in terms if atom not in moments and anatomy.kinds[atom] is not SCALAR]
    never_negative = never_negative_state(anatomy.graph)
    if name is None or not all(is_never_negative(anatomy.graph.nodes, other, never_negative) for other in others):
        return None
    alone = len(moments) + len(others) == 1
    said = name if alone else f"{expression(anatomy, inner)}, {name} being"
    return _Moment(root, name, f"{_ROOTS.get(root, '')}{said}{',' if alone else ''} {_collected(roles, name)}")


def _collected(roles: Roles, name: str) -> str:
    way = roles.recurrences[name]
    averages = {Course.AVERAGE: "an average", Course.ADDITIVE: "an average", Course.MAXIMUM: "the running maximum"}
    kind = averages.get(way.course, "a sum")
    return f"{kind} of {incoming(roles.anatomy, way)}" if way.of is not None else kind


def variance(roles: Roles) -> Iterator[Found]:
    """Find an average of squares minus the square of an average."""
    anatomy = roles.anatomy
    for place, head, arguments in anatomy.calls:
        if head == "subtract":
            squares, squared = map(anatomy.core, arguments)
            if anatomy.function(squared) == "square" and anatomy.next_of.get(squares) in roles.second_moments:
                mean = anatomy.next_of.get(anatomy.core(*anatomy.arguments(squared)))
                if mean in roles.momenta:
                    yield place, f"{anatomy.next_of[squares]} minus the square of {mean}", ()


def sign_of_momentum(roles: Roles) -> Iterator[Found]:
    """Find signs of momenta, or of sums of momenta and what they collect."""
    anatomy = roles.anatomy
    for place, head, arguments in anatomy.calls:
        if head == "sign":
            inner = arguments[0]
            atoms = {inner} if inner in anatomy.next_of else anatomy.terms(inner, closed=roles.collected).keys()
            rest = {atom for atom in atoms if (anatomy.next_of.get(atom) or anatomy.input(atom)) not in roles.momenta}
            if rest != atoms and rest <= roles.collected:
                yield place, f"sign of {phrase(anatomy, inner)}", ()


def sign_of_gradient(roles: Roles) -> Iterator[Found]:
    """Find signs of the gradient itself."""
    for place, head, arguments in roles.anatomy.calls:
        if head == "sign" and roles.anatomy.input(arguments[0]) == "g":
            yield place, "sign of the gradient", ()


def sign_agreement(roles: Roles) -> Iterator[Found]:
    """Find products of the signs of two values."""
    for place, product in roles.anatomy.products.items():
        signs = [top for top in product.tops if roles.anatomy.function(top) == "sign"]
        inner = [argument for top in signs for argument in roles.anatomy.arguments(top)]
        if len(set(inner)) == 2:
            one, other = sorted(inner)
            words = f"{phrase(roles.anatomy, one)} and {phrase(roles.anatomy, other)}"
            yield place, f"agreement of the signs of {words}", ()


def sign_grafting(roles: Roles) -> Iterator[Found]:
    """Find the size of one value with the sign of another."""
    for place, product in roles.anatomy.products.items():
        heads = {roles.anatomy.function(top): top for top in product.tops}
        if heads.keys() >= {"abs", "sign"}:
            size, sign = (roles.anatomy.arguments(heads[head])[0] for head in ("abs", "sign"))
            if roles.anatomy.kinds[size] is TENSOR:
                words = f"size of {phrase(roles.anatomy, size)}, sign of {phrase(roles.anatomy, sign)}"
                yield place, words, ()


def cautious_mask(roles: Roles) -> Iterator[Found]:
    """Find products with a mask of the places where a value has the gradient's sign."""
    anatomy = roles.anatomy
    gradient = anatomy.place_of("g")
    for place, whole in anatomy.products.items():
        for top in whole.tops:
            if roles.anatomy.function(top) == "heaviside" and len(whole.tops) > 1:
                product = anatomy.product(*anatomy.arguments(top))
                signed = _signed(roles, (*product.tops, *product.bottoms))
                if product.number > 0.0 and gradient in signed and len(signed) == 2:
                    other = phrase(anatomy, next(factor for factor in signed if factor != gradient))
                    yield place, f"only weights for which {other} agrees in sign with the gradient move", ()


def _signed(roles: Roles, factors: Sequence[int]) -> set[int]:
    """Find the factors shaped like the weights by which the sign of a product can differ from weight to weight."""
    anatomy = roles.anatomy
    odd = {factor for factor in factors if factors.count(factor) % 2 and anatomy.kinds[factor] is TENSOR}
    never_negative = never_negative_state(anatomy.graph)
    return {factor for factor in odd if not is_never_negative(anatomy.graph.nodes, factor, never_negative)}


def normalised(roles: Roles) -> Iterator[Found]:
    """Find values divided by their own norm."""
    for place, x, norm in _over_norm(roles):
        if roles.anatomy.function(norm) != "max" and roles.anatomy.depends_on_gradient(x):
            yield place, f"{phrase(roles.anatomy, x)} over its {_NORMS[roles.anatomy.function(norm)]}", ()


def clipped_by_array(roles: Roles) -> Iterator[Found]:
    """Find values divided by their own norm if that exceeds a number."""
    for place, x, norm in _over_norm(roles):
        if roles.anatomy.function(norm) == "max":
            (bound,) = _numbers(roles, norm)
            sentence = f"{phrase(roles.anatomy, x)}, scaled down to a norm of at most {number(bound)}"
            yield place, f"{sentence} {_EACH[_norm_in(roles, norm)[0]]}", (("bound", bound),)


_NORMS = {"norm": "norm in each weight array", "global_norm": "global norm"}
_EACH = {"norm": "in each weight array", "global_norm": "over all weight arrays"}


def _over_norm(roles: Roles) -> Iterator[tuple[int, int, int]]:
    """Yield quotients of a value and its norm, or a bound of the norm: the places of quotient, value and divisor."""
    for place, product in roles.anatomy.products.items():
        for divisor in product.bottoms:
            _, x = _norm_in(roles, divisor)
            if x in product.tops:
                yield place, x, divisor


def _norm_in(roles: Roles, place: int) -> tuple[str, int]:
    """Read a value as a norm, or the larger of a norm and a number: return the norm's name and its argument's place."""
    anatomy = roles.anatomy
    if anatomy.function(place) == "max" and len(_numbers(roles, place)) == 1:
        place = next(argument for argument in anatomy.arguments(place) if anatomy.number(argument) is None)
    name = anatomy.function(place)
    return (name, anatomy.arguments(place)[0]) if name in _NORMS else ("", -1)


def _numbers(roles: Roles, place: int) -> list[float]:
    numbers = map(roles.anatomy.number, roles.anatomy.arguments(place))
    return [number for number in numbers if number is not None]


def trust_ratio(roles: Roles) -> Iterator[Found]:
    """Find the norm of the weights divided by the norm of another value."""
    anatomy = roles.anatomy
    for place, product in anatomy.products.items():
        over = [bottom for bottom in product.bottoms if roles.anatomy.function(bottom) == "norm"]
        under = [top for top in product.tops if roles.anatomy.function(top) == "norm"]
        if over and any(anatomy.is_input(anatomy.arguments(top)[0], "w") for top in under):
            other = phrase(anatomy, anatomy.arguments(over[0])[0])
            yield place, f"norm of the weights over that of {other}, in each weight array", ()


def clipped(roles: Roles) -> Iterator[Found]:
    """Find clips by the global norm."""
    for place, head, arguments in roles.anatomy.calls:
        if head == "clip":
            x, bound = arguments
            numbers = tuple(("bound", value) for value in _numbers(roles, place))
            words = f"{phrase(roles.anatomy, x)}, scaled down to a global norm of at most"
            yield place, f"{words} {expression(roles.anatomy, bound)}", numbers


def clipped_by_value(roles: Roles) -> Iterator[Found]:
    """Find values that are kept between two scalars."""
    anatomy = roles.anatomy
    pairs = {"max": "min", "min": "max"}
    for place, head, arguments in anatomy.calls:
        if head not in pairs or anatomy.kinds[place] is not TENSOR:
            continue
        for bound, inner in itertools.permutations(arguments):
            if anatomy.function(inner) == pairs[head] and anatomy.kinds[bound] is SCALAR:
                for other, x in itertools.permutations(anatomy.arguments(inner)):
                    if anatomy.kinds[other] is SCALAR and anatomy.kinds[x] is TENSOR:
                        low, high = (bound, other) if head == "max" else (other, bound)
                        ends = f"{expression(anatomy, low)} and {expression(anatomy, high)}"
                        yield place, f"{phrase(anatomy, x)}, kept between {ends}", ()


def orthogonalised(roles: Roles) -> Iterator[Found]:
    """Find matrices that are made orthogonal."""
    for place, head, arguments in roles.anatomy.calls:
        if head == "orthogonalize":
            yield place, f"{phrase(roles.anatomy, arguments[0])} made orthogonal", ()


def lookahead(roles: Roles) -> Iterator[Found]:
    """Find choices at every k-th step."""
    anatomy = roles.anatomy
    for place, head, arguments in anatomy.calls:
        if head == "where" and anatomy.function(arguments[0]) == "equal" and roles.iterates:
            for rest in anatomy.arguments(arguments[0]):
                if anatomy.function(rest) == "mod" and anatomy.is_input(anatomy.arguments(rest)[0], "t"):
                    period = anatomy.late[anatomy.arguments(rest)[1]] or 0.0
                    names = ", ".join(sorted(roles.iterates))
                    yield place, f"every {number(period)} steps the weights are set from {names}", (("k", period),)


def rate_factor(anatomy: Anatomy) -> float | None:
    """Return the number by which ``lr`` is multiplied if it scales the whole update; None if it does not."""
    product = anatomy.product(anatomy.graph.update)
    return product.number if product.tops.count(anatomy.place_of("lr")) == 1 else None


def decoupled_decay(roles: Roles) -> Iterator[Found]:
    """Find the fraction of the weights that every step takes away besides the rest of the update."""
    yield from _weights_in_update(roles, 1.0, "takes", " away")


def weight_growth(roles: Roles) -> Iterator[Found]:
    """Find the fraction of the weights that every step adds to them besides the rest of the update."""
    yield from _weights_in_update(roles, -1.0, "adds", "")


def _weights_in_update(roles: Roles, sign: float, does: str, away: str) -> Iterator[Found]:
    """Yield the fractions of the weights in the update that have one sign."""
    anatomy = roles.anatomy
    weights = anatomy.place_of("w")
    if any(anatomy.paths(name, frozenset()) for name in roles.iterates):
        return
    amounts: dict[tuple[int, ...], float] = {}
    for factor, others in anatomy.paths("w", roles.inside):
        key = tuple(sorted(others))
        amounts[key] = amounts.get(key, 0.0) + factor
    lr, whole = anatomy.place_of("lr"), set(anatomy.product(anatomy.graph.update).tops)
    for others, factor in amounts.items():
        replaced = factor >= 1.0 and not others  # w - x in the update replaces the weights by x
        if factor * sign > 0.0 and not replaced and not _signed(roles, others):
            words = [expression(anatomy, other, _LONG) for other in others]
            amount = " * ".join([number(abs(factor))] * (abs(factor) != 1.0 or not words) + words)
            rate = rate_factor(anatomy) if set(others) <= whole and others.count(lr) == 1 else None
            relative = (("decay", factor / rate),) if rate else ()
            plain = (("each_step", factor),) if set(others) <= {lr} else ()
            part = f": {number(abs(factor / rate))} times the learning rate" if rate and plain else ""
            yield weights, f"each step {does} {amount} of the weights{away}{part}", (*relative, *plain)


def decay_in_gradient(roles: Roles) -> Iterator[Found]:
    """Find weights added to the gradient before anything is computed from it."""
    for place, part, plain in _inner_decays(roles):
        if plain:
            yield place, f"{number(part)} of the weights added to the gradient", (("decay", part),)


def decay_in_momentum(roles: Roles) -> Iterator[Found]:
    """Find weights added to what a momentum collects."""
    for place, part, plain in _inner_decays(roles):
        if not plain:
            yield place, f"{number(part)} of the weights added to what is accumulated", (("decay", part),)


def _inner_decays(roles: Roles) -> Iterator[tuple[int, float, bool]]:
    """Yield sums with the weights inside the state: place, factor of the weights, whether the rest is the gradient."""
    anatomy = roles.anatomy
    weights, gradient = anatomy.place_of("w"), anatomy.place_of("g")
    for place, head, arguments in anatomy.calls:
        if head in ("add", "subtract", "interp") and place in roles.inside and place not in anatomy.next_of:
            terms = anatomy.terms(place)
            part = terms.pop(weights, 0.0)
            direct = any(anatomy.inputs[argument] == {"w"} for argument in arguments)
            fresh = [factor for atom, factor in terms.items() if anatomy.depends_on_gradient(atom)]
            if part and direct and fresh and part * fresh[0] > 0.0:
                yield place, part / fresh[0], terms.keys() == {gradient}
