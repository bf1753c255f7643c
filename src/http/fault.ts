/**
 * Failures of HTTP exchanges as EHTTP errors: a sentence, and a `reason` for metrics. Errors never contain a header,
 * a body or a password.
 */
import { codeOf, fail, messageOf, type Coded } from '../base/error.ts'
import type { Milliseconds } from '../boundary/messages.ts'
import { retryAfterMs } from './retry-after.ts'

/** Why an exchange failed: the label values of the metric that counts failures. */
export type HttpReason =
  | 'connect'
  | 'timeout'
  | 'status'
  | 'size'
  | 'truncated'
  | 'json'
  | 'closed'
  /** A file with a certificate or a secret is unusable. */
  | 'credentials'
  /** The login returned no token. */
  | 'login'

/** The URL without user and password, for messages. */
export const shownUrl = (url: string): string => {
  try {
    const parsed = new URL(url)
    parsed.username = ''
    parsed.password = ''
    return parsed.href
  } catch {
    return 'an invalid URL'
  }
}

/** The `reason` of an HTTP error, '' of any other error. */
export const httpReason = (er: unknown): HttpReason | '' =>
  er instanceof Error && 'reason' in er ? ((er as { reason?: HttpReason }).reason ?? '') : ''

/** The HTTP status in an error; 0 if there is none. */
export const httpStatus = (er: unknown): number =>
  er instanceof Error ? ((er as { status?: number }).status ?? 0) : 0

/** How long the server that failed wants to be left alone (retry-after.ts); 0 if it did not say. */
export const retryAfterOf = (er: unknown): Milliseconds =>
  er instanceof Error ? ((er as { retryAfterMs?: Milliseconds }).retryAfterMs ?? 0) : 0

/** An error about `url`. */
export const httpFault = (
  url: string,
  what: string,
  reason: HttpReason,
  fields: object = {},
): Coded => fail(`${shownUrl(url)} ${what}`, 'EHTTP', { reason, ...fields })

/** A secret, a certificate or a login is missing, so no request was sent. `what` is a complete sentence. */
export const credentialsFault = (
  what: string,
  reason: 'credentials' | 'login',
  fields: object = {},
): Coded => fail(what, 'EHTTP', { reason, ...fields })

/**
 * The absolute URL that a redirect leads to; '' if it must not be followed: a request over TLS is never repeated
 * without TLS. Mesos sends locations such as '//10.0.0.5:5050/…'.
 */
export const redirectTarget = (from: string, headers: Readonly<Record<string, string>>): string => {
  const { location } = headers
  if (location === undefined) return ''
  try {
    const to = new URL(location, from)
    const secure = to.protocol === 'https:'
    return secure || (to.protocol === 'http:' && !from.startsWith('https:')) ? to.href : ''
  } catch {
    return ''
  }
}

/**
 * The server answered with a status other than 200. `credentials` says which ones it got, '' for none; `now` is Unix
 * time.
 */
export const statusFault = (
  url: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  credentials: string,
  now: Milliseconds,
): Coded => {
  const refused =
    credentials === ''
      ? ': it asks for credentials, and none are configured'
      : `: it refuses our credentials (${credentials})`
  return httpFault(url, `answered ${status}${status === 401 ? refused : ''}`, 'status', {
    status,
    location: redirectTarget(url, headers),
    retryAfterMs: retryAfterMs(status, headers, now),
  })
}

/** The connection failed; `late` if our deadline ended it, `stopped` if the caller did. */
export const connectionFault = (
  url: string,
  er: unknown,
  { late, stopped }: { late: boolean; stopped: boolean },
  reason: HttpReason,
): Coded => {
  if (httpReason(er) !== '') return er as Coded
  if (late) return httpFault(url, 'did not answer in time', 'timeout')
  if (stopped) return httpFault(url, 'is no longer asked', 'closed')
  const what = reason === 'connect' ? 'cannot be reached' : 'broke off its answer'
  // an AggregateError for two address families has a code but no message
  return httpFault(url, `${what}: ${messageOf(er) || codeOf(er)}`, reason, { cause: er })
}
