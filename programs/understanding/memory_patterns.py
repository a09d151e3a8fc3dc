"""Patterns of a program's memory: averages, momenta, stored values, and mixtures of momenta and the gradient."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from programs.kinds import SCALAR
from programs.understanding.anatomy import NEAR, Anatomy
from programs.understanding.phrasing import expression, number, phrase, steps
from programs.understanding.recurrence import Course, Recurrence, Roles

Found = tuple[int, str, tuple[tuple[str, float], ...]]
"""The place of a value, a sentence about it, and the numbers found, by name."""
Finder = Callable[[Roles], Iterator[Found]]


def courses(course: Course, sentence: str) -> Finder:
    """Make the finder of a pattern that is recognised by the course of a state variable."""

    def find(roles: Roles) -> Iterator[Found]:
        for name, way in roles.recurrences.items():
            if way.course is course and way.of is not None and name not in roles.iterates:
                numbers = (("decay", way.decay),) if 0.0 < way.decay < 1.0 else ()
                decay = f" with decay {number(way.decay)}" if numbers else ""
                time = f" (time constant {steps(way.decay)} steps)" if numbers else ""
                text = sentence.format(name=name, x=incoming(roles.anatomy, way), decay=decay, time=time)
                text += f", with {number(way.constant)} added at every step" if way.constant else ""
                yield roles.anatomy.graph.state[name], text, numbers

    return find


def incoming(anatomy: Anatomy, way: Recurrence) -> str:
    """Write the values that a state variable collects; if several, each with its factor, in an average its share."""
    if way.of is None or not way.others:
        return phrase(anatomy, way.of or 0) + (", negated," if way.gain < 0.0 else "")
    new = 1.0 - way.decay if way.course is Course.AVERAGE else 1.0
    parts = [(phrase(anatomy, place), gain / new) for place, gain in ((way.of, way.gain), *way.others)]
    return " and ".join(text if part == 1.0 else f"{number(part)} times {text}" for text, part in parts)


def first_weights(roles: Roles) -> Iterator[Found]:
    """Find state variables that keep the first weights."""
    for name in sorted(roles.iterates):
        way = roles.recurrences[name]
        if way.course is Course.FIRST and way.of is not None and roles.anatomy.is_input(way.of, "w"):
            yield roles.anatomy.graph.state[name], f"{name} keeps the weights of the first step", ()


def iterate(roles: Roles) -> Iterator[Found]:
    """Find state variables that are sequences of weights besides the program's own."""
    for name in sorted(roles.iterates):
        if roles.recurrences[name].course not in (Course.FIRST, Course.PREVIOUS):
            yield roles.anatomy.graph.state[name], f"{name} starts at the weights and then follows its own path", ()


def previous(roles: Roles) -> Iterator[Found]:
    """Find state variables that keep a value for the next step."""
    for name, way in roles.recurrences.items():
        if way.course is Course.PREVIOUS and way.of is not None:
            yield way.of, f"{name} keeps {_made_of(roles, way.of)} for the next step", ()


def change(roles: Roles) -> Iterator[Found]:
    """Find differences between a value and its value at the previous step."""
    before = {
        (roles.anatomy.place_of(name), way.of)
        for name, way in roles.recurrences.items()
        if way.course is Course.PREVIOUS
    }
    for _, head, arguments in roles.anatomy.calls:
        if head == "subtract":
            one, other = map(roles.anatomy.usual, arguments)
            if (other, one) in before or (one, other) in before:
                now = one if (other, one) in before else other
                yield now, f"change of {_made_of(roles, now)} since the previous step", ()


def _made_of(roles: Roles, place: int) -> str:
    """Write what a state variable's next value is, without the variable's name."""
    anatomy = roles.anatomy
    return phrase(anatomy, place) if anatomy.input(place) else expression(anatomy, place)


def bias_correction(roles: Roles) -> Iterator[Found]:
    """Find averages with decay b that are divided by 1 - b^t, or their roots by its root."""
    anatomy = roles.anatomy
    averages = {name: way.decay for name, way in roles.recurrences.items() if way.course is Course.AVERAGE}
    corrections = {place: decay for place, _, _ in anatomy.calls if (decay := _correction(anatomy, place))}
    products = [anatomy.powers(product) for product in anatomy.products] if corrections else []
    for place, decay in corrections.items():
        names = [name for name, own in averages.items() if own == decay]
        uses = [(powers, use) for powers in products for use in powers if use[0] == place]
        if names and any(_corrects(roles, names, powers, sign, rooted) for powers, (_, sign, rooted) in uses):
            yield place, f"bias correction of the average with decay {number(decay)}", (("decay", decay),)


def _correction(anatomy: Anatomy, place: int) -> float:
    """Return b if a value is 1 - b^t; 0 if it is not."""
    power = anatomy.one_less_power(place)
    return anatomy.late[power[0]] or 0.0 if power and anatomy.inputs[power[1]] == {"t"} else 0.0


def _corrects(roles: Roles, names: Sequence[str], powers: Set[tuple[int, int, bool]], sign: int, rooted: bool) -> bool:
    """Return whether 1 - b^t divides averages with decay b, in a product with them or in a product of scalars."""
    anatomy = roles.anatomy
    places = {anatomy.graph.state[name] for name in names} | {anatomy.place_of(name) for name in names}
    beside = {own for factor, own, _ in powers if not places.isdisjoint(anatomy.graph.cone([factor]))}
    if beside:
        return beside == {-sign}
    scalars = all(anatomy.kinds[factor] is SCALAR for factor, _, _ in powers)
    return scalars and (sign < 0 or (rooted and not roles.second_moments.isdisjoint(names)))


@dataclass(frozen=True)
class _Mixture:
    """A sum of momenta and the values that they collect.

    Attributes:
        place: The place of the sum.
        old: The factors of momenta as they were before the step.
        new: The factors of momenta as they are after the step.
        fresh: The factors of the collected values, by place.
    """

    place: int
    old: dict[str, float]
    new: dict[str, float]
    fresh: dict[int, float]


def _mixture(roles: Roles, place: int) -> _Mixture | None:
    """Read a value as a mixture; None if it contains anything else, or no momentum."""
    mixture = _Mixture(place, {}, {}, {})
    for atom, factor in roles.anatomy.terms(place, closed=roles.collected).items():
        name = roles.anatomy.input(atom)
        if roles.anatomy.next_of.get(atom) in roles.momenta:
            mixture.new[roles.anatomy.next_of[atom]] = factor
        elif name in roles.momenta:
            mixture.old[name] = factor
        elif atom in roles.collected:
            mixture.fresh[atom] = factor
        else:
            return None
    several = len(mixture.old) + len(mixture.new) + len(mixture.fresh) > 1
    return mixture if several and (mixture.old or mixture.new) else None


def _mixtures(roles: Roles) -> Iterator[_Mixture]:
    """Yield the mixtures that are not part of a larger mixture, nor of next values only."""
    anatomy = roles.anatomy
    calls = [(place, arguments) for place, _, arguments in anatomy.calls if place not in anatomy.next_of]
    found = {place: mixture for place, _ in calls if (mixture := _mixture(roles, place))}
    inner = {argument for place, arguments in calls if place in found for argument in arguments}
    for place, mixture in found.items():
        own = [anatomy.graph.state[name] for name in mixture.old]
        if place not in inner and place in anatomy.reached(own):
            yield mixture


def two_decays(roles: Roles) -> Iterator[Found]:
    """Find a momentum that is mixed with what it collects by a decay other than its own, as in Lion."""
    for mixture in _mixtures(roles):
        if len(mixture.old) == 1 and not mixture.new and len(mixture.fresh) == 1:
            ((name, factor),) = mixture.old.items()
            ((x, rest),) = mixture.fresh.items()
            kept = roles.recurrences[name].decay
            decay = factor / (factor + rest) if factor + rest else 0.0
            if 0.0 < decay < 1.0 and abs(decay - kept) > NEAR:
                sentence = (
                    f"{name} interpolated with {phrase(roles.anatomy, x)}: decay {number(decay)} in the update, "
                    f"{number(kept)} in the state"
                )
                yield mixture.place, sentence, (("decay", decay), ("state_decay", kept))


def nesterov(roles: Roles) -> Iterator[Found]:
    """Find the step that a momentum would take next with the same gradient."""
    for place, name, x, ratio in _ahead(roles):
        way = roles.recurrences[name]
        if abs(ratio * way.gain - way.decay) <= NEAR:
            words = f"the value of {name} after one more step with {phrase(roles.anatomy, x)}"
            yield place, words, (("decay", way.decay),)


def quasi_hyperbolic(roles: Roles) -> Iterator[Found]:
    """Find a mean of an average of gradients and the gradient, other than Nesterov's."""
    for place, name, x, ratio in _ahead(roles):
        way = roles.recurrences[name]
        if way.course is Course.AVERAGE and abs(ratio * way.gain - way.decay) > NEAR and ratio > 0.0:
            part = ratio / (1.0 + ratio)
            words = f"{number(part)} of {name} and {number(1.0 - part)} of {phrase(roles.anatomy, x)}"
            yield place, words, (("part", part),)


def gradient_beside(roles: Roles) -> Iterator[Found]:
    """Find a sum of an accumulated momentum and the gradient, other than Nesterov's."""
    for place, name, x, ratio in _ahead(roles):
        way = roles.recurrences[name]
        if way.course is Course.MOMENTUM and abs(ratio * way.gain - way.decay) > NEAR:
            words = f"{name} plus {number(1.0 / ratio)} times {phrase(roles.anatomy, x)}"
            yield place, words, (("ratio", 1.0 / ratio),)


def _ahead(roles: Roles) -> Iterator[tuple[int, str, int, float]]:
    """Yield sums of one new momentum and what it collects: the place, the momentum, the value, and their ratio."""
    for mixture in _mixtures(roles):
        if not mixture.old and len(mixture.new) == 1 and len(mixture.fresh) == 1:
            ((name, factor),) = mixture.new.items()
            ((x, rest),) = mixture.fresh.items()
            yield mixture.place, name, x, factor / rest


def several(roles: Roles) -> Iterator[Found]:
    """Find sums of two or more momenta."""
    for mixture in _mixtures(roles):
        names = sorted({**mixture.old, **mixture.new})
        if len(names) > 1:
            yield mixture.place, f"a sum of {', '.join(names)}", ()
