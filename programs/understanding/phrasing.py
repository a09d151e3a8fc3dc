"""Values in words: how sentences about a program name them."""

from programs.functions import FUNCTIONS
from programs.understanding.anatomy import Anatomy

_LONGEST = 40  # the most characters of an expression that is written out
_SHORTEST = 3
_WORDS: dict[str, str] = {"g": "the gradient", "w": "the weights", "lr": "the rate", "t": "the step"}
_OF_GRADIENT = {"square": "the squared gradient", "abs": "the size of the gradient"}


def number(value: float, digits: int = 6) -> str:
    """Write a number with at most ``digits`` significant digits."""
    return f"{value:.{digits}g}"


def steps(decay: float) -> str:
    """Write the time constant of a decay, in steps."""
    return f"{float(number(1.0 / (1.0 - decay), 3)):.10g}"


def phrase(anatomy: Anatomy, place: int) -> str:
    """Write what a value is: in words if there are any for it, else as an expression."""
    place = anatomy.usual(place)
    if place in anatomy.next_of:
        return anatomy.next_of[place]
    if name := anatomy.input(place):
        return _WORDS.get(name, name)
    function = anatomy.function(place)
    if function in _OF_GRADIENT and anatomy.is_input(anatomy.arguments(place)[0], "g"):
        return _OF_GRADIENT[function]
    return expression(anatomy, place)


def expression(anatomy: Anatomy, place: int, longest: int = _LONGEST) -> str:
    """Write a value as text; next values of state variables, and long expressions, are written by their names."""
    place = anatomy.usual(place)
    if name := anatomy.input(place):
        return name
    if (value := anatomy.number(place)) is not None:
        return number(value)
    hint = anatomy.graph.hints[place]
    hint = "" if anatomy.place_of(hint) >= 0 else hint  # the name of another value
    row = FUNCTIONS[anatomy.function(place)]
    if longest < _SHORTEST:
        return hint or f"{row.name}(...)"
    parts = [
        anatomy.next_of.get(anatomy.usual(argument)) or expression(anatomy, argument, longest // 2)
        for argument in anatomy.arguments(place)
    ]
    if row.infix:
        text = f" {row.infix} ".join(f"({part})" if " " in part and not part.endswith(")") else part for part in parts)
    else:
        text = f"{row.name}({', '.join(parts)})"
    return hint if hint and len(text) > longest else text
