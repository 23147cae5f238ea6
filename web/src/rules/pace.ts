// How a campaign goes over the days, by its pace and its quiet hours.
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Hours that are looked at: a year, so that a campaign that never sends ends. */
const HOURS_MAX = 366 * 24;

/** `from` and `to` in minutes of the day; over midnight when `from` is the later one. */
export type Quiet = { from: number; to: number };
/** Messages in each hour of a day, and the first and last time of the day at which one leaves. */
export type PlannedDay = { day: number; hours: number[]; first: number | undefined; last: number | undefined };

/** The minutes of the day that a text like `21:30` says. */
export function minutesOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));
}

/** Whether a minute of the day is quiet. */
export function isQuiet(minute: number, quiet: Quiet | undefined): boolean {
  if (!quiet || quiet.from === quiet.to) return false;
  return quiet.from < quiet.to ? minute >= quiet.from && minute < quiet.to : minute >= quiet.from || minute < quiet.to;
}

/** The part of an hour of the day that is quiet, 0 to 1. */
export function quietPart(hour: number, quiet: Quiet | undefined): number {
  let minutes = 0;
  for (let minute = hour * 60; minute < hour * 60 + 60; minute++) minutes += Number(isQuiet(minute, quiet));
  return minutes / 60;
}

/** Days from the start until all have left, minute by minute, in the time zone of this machine. */
export function plan(start: number, total: number, delayMs: number, quiet: Quiet | undefined): PlannedDay[] {
  const days: PlannedDay[] = [];
  let left = total;
  let next = start;
  const stop = start + HOURS_MAX * HOUR_MS;
  for (let minute = Math.floor(start / MINUTE_MS) * MINUTE_MS; left > 0 && minute < stop; minute += MINUTE_MS) {
    const at = new Date(minute);
    const day = new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
    if (days.at(-1)?.day !== day) days.push({ day, hours: new Array<number>(24).fill(0), first: undefined, last: undefined });
    if (isQuiet(at.getHours() * 60 + at.getMinutes(), quiet)) continue;
    const today = days.at(-1)!;
    next = Math.max(next, minute);
    while (left > 0 && next < minute + MINUTE_MS) {
      today.hours[at.getHours()]!++;
      today.first ??= next;
      today.last = next;
      next += delayMs;
      left--;
    }
  }
  return days;
}
