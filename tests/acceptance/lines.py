"""What a proof prints: `ACCEPT name figure bar ok|short`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One figure against its bar."""

    name: str
    figure: str
    bar: str
    ok: bool

    def __str__(self) -> str:
        return f"ACCEPT {self.name} {self.figure} {self.bar} {'ok' if self.ok else 'short'}"


def at_most(name: str, figure: float, bar: float, unit: str) -> Line:
    """A figure that must not exceed its bar."""
    return Line(name, f"{figure:.3g}{unit}", f"<={bar:g}{unit}", figure <= bar)


def at_least(name: str, figure: float, bar: float, unit: str) -> Line:
    """A figure that must reach its bar."""
    return Line(name, f"{figure:.3g}{unit}", f">={bar:g}{unit}", figure >= bar)


def none_of(name: str, what: str, found: list[str]) -> Line:
    """Nothing of a kind may be found; the first finding is shown."""
    shown = f"{len(found)}_{what}" + (f"({found[0]})" if found else "")
    return Line(name, shown, f"0_{what}", not found)
