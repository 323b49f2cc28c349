"""When does the tide turn? A rule of thumb, and not for navigation."""

from datetime import datetime, timedelta

LUNAR_HALF_DAY = timedelta(hours=12, minutes=25)


def next_turns(known_turn: datetime, count: int = 4) -> list[datetime]:
    return [known_turn + LUNAR_HALF_DAY * n / 2 for n in range(1, count + 1)]


if __name__ == "__main__":
    for turn in next_turns(datetime(2026, 3, 1, 5, 40)):
        print(turn.strftime("%a %H:%M"))
