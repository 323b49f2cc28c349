"""Medians, spread, and our ratio to each named peer; losses too."""
import statistics
from dataclasses import dataclass, field

from .goals import Goal
from .machine import Run


@dataclass
class Row:
    """All runs of one contender in one operation."""
    link: str
    case: str
    op: str
    name: str
    carried: int  # bytes, or files for a tree; 0 where neither says anything
    runs: list[Run] = field(default_factory=list)

    def values(self, measure: str) -> list[float]:
        found = (getattr(run, measure) for run in self.runs if run.wall is not None)
        return [value for value in found if value is not None]

    def median(self, measure: str) -> float | None:
        values = self.values(measure)
        return statistics.median(values) if values else None

    @property
    def error(self) -> str | None:
        return next((run.error for run in self.runs if run.error), None)

    def rate(self) -> str:
        wall = self.median("wall")
        if not wall or not self.carried:
            return ""
        if self.op.endswith("_tree"):
            return f"{self.carried / wall:,.0f} files/s"
        return f"{self.carried / wall / 1e6:,.0f} MB/s"

    def as_json(self) -> dict:
        fields = ("wall", "cpu", "first", "wire", "others")
        return {"link": self.link, "case": self.case, "op": self.op, "name": self.name,
                "runs": [{name: getattr(run, name) for name in (*fields, "error")}
                         for run in self.runs]}


def show(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def head() -> None:
    print("| link | operation | contender | runs | wall s | least to most | CPU s | first byte s | "
          "on the link MB | others' work | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)


def tell(row: Row) -> None:
    walls, wire = row.values("wall"), row.median("wire")
    spread = f"{min(walls):.2f} to {max(walls):.2f}" if walls else "-"
    remark = "; ".join(word for word in (row.rate(), row.error) if word).replace("\n", " ")
    print(f"| {row.link} | {row.op} | {row.name} | {len(walls)} | {show(row.median('wall'), 3)} | "
          f"{spread} | {show(row.median('cpu'))} | {show(row.median('first'), 3)} | "
          f"{show(None if wire is None else wire / 1e6, 1)} | {show(row.median('others'))} | "
          f"{remark} |", flush=True)


def compare(rows: list[Row], goals: dict[str, list[Goal]]) -> None:
    """The table of ratios, for each link."""
    print("\n| link | operation | ours | peer | ours | peer's | ratio | goal | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for link, of_link in goals.items():
        by_name = {(row.op, row.name): row for row in rows if row.link == link}
        for goal in of_link:
            ours, peer = (by_name.get((goal.op, name)) for name in (goal.ours, goal.peer))
            if not ours or not peer:
                continue
            mine, theirs = ours.median(goal.measure), peer.median(goal.measure)
            unit = "CPU s" if goal.measure == "cpu" else "s"
            if mine is None or not theirs:
                print(f"| {link} | {goal.op} | {goal.ours} | {goal.peer} | {show(mine)} {unit} | "
                      f"{show(theirs)} {unit} | - | {goal.ratio:.2f} | not measured |")
                continue
            ratio = mine / theirs
            verdict = "met" if ratio <= goal.ratio else "**missed**"
            print(f"| {link} | {goal.op} | {goal.ours} | {goal.peer} | {mine:.3f} {unit} | "
                  f"{theirs:.3f} {unit} | {ratio:.2f} | {goal.ratio:.2f} | {verdict} |")
