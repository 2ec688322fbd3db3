"""Tell when the shop is open: a tool that needs only Python.

Change the two tables to your own hours. "Today" is today in the gateway's time zone (the variable TZ).
"""

from datetime import date, time

WEEK = {
    "Monday": (time(9), time(18)),
    "Tuesday": (time(9), time(18)),
    "Wednesday": (time(9), time(18)),
    "Thursday": (time(9), time(20)),
    "Friday": (time(9), time(18)),
    "Saturday": (time(10), time(14)),
    "Sunday": None,
}

HOLIDAYS = {(1, 1): "New Year's Day", (12, 25): "Christmas Day", (12, 26): "Boxing Day"}


async def opening_hours(day: date | None = None) -> str:
    """Tell when the shop is open on a day. Call it whenever the caller asks about opening hours.

    Args:
        day: The day that the caller asks about. Leave it out for today.
    """
    day = day or date.today()
    holiday = HOLIDAYS.get((day.month, day.day))
    weekday = list(WEEK)[day.weekday()]
    when = f"{weekday} {day:%d.%m.%Y}"
    if holiday:
        return f"On {when} the shop is closed: {holiday}."
    hours = WEEK[weekday]
    if hours is None:
        return f"On {when} the shop is closed."
    opens, closes = hours
    return f"On {when} the shop is open from {opens:%H:%M} to {closes:%H:%M}."
