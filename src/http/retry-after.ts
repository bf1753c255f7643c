/**
 * How long a server wants to be left alone: `Retry-After` (RFC 9110 §10.2.3) of a 429 (RFC 6585) or a 503. How much of
 * it is waited is the caller's decision, by `atLeast` in base/backoff.ts.
 */
import type { Milliseconds } from '../boundary/messages.ts'

const TOO_MANY = 429
const UNAVAILABLE = 503

/** The three forms of a date that a recipient must accept (RFC 9110 §5.6.7). The last two are obsolete. */
const DATES = [
  /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]+, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
]
/** A date with a year of two digits that seems to be further in the future is in the past. */
const FUTURE_YEARS = 50

/** `now` is Unix time. 0 if the server did not ask for it, or not in a valid form, or until a time that is over. */
export const retryAfterMs = (
  status: number,
  headers: Readonly<Record<string, string>>,
  now: Milliseconds,
): Milliseconds => {
  const text = headers['retry-after']?.trim() ?? ''
  if (status !== TOO_MANY && status !== UNAVAILABLE) return 0
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const at = dateOf(text, now)
  return at > now ? at - now : 0
}

/** NaN if it is no date. */
const dateOf = (text: string, now: Milliseconds): Milliseconds => {
  for (const form of DATES) {
    const found = form.exec(text)?.groups
    if (!found) continue
    const { day, month, time } = found
    let year = Number(found['year'])
    if (year < 100) {
      const current = new Date(now).getUTCFullYear()
      year += Math.floor(current / 100) * 100
      if (year > current + FUTURE_YEARS) year -= 100
    }
    return Date.parse(`${day} ${month} ${year} ${time} GMT`)
  }
  return NaN
}
