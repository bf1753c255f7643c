/**
 * What goes wrong in an HTTP exchange, as an EHTTP error: a sentence, and a
 * `reason` to count by. No error holds a header, a body or a password.
 */
import { codeOf, fail, messageOf, type Coded } from '../base/error.ts'

/** Why an exchange failed; the closed label set of the metric that counts it. */
export type HttpReason =
  | 'connect'
  | 'timeout'
  | 'status'
  | 'size'
  | 'truncated'
  | 'json'
  | 'closed'
  /** A file with a certificate or a secret cannot be used. */
  | 'credentials'
  /** The login gave no token. */
  | 'login'

/** The URL as it may be shown: without user and password. */
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

/** The HTTP status that an error is about; 0 if it is about none. */
export const httpStatus = (er: unknown): number =>
  er instanceof Error ? ((er as { status?: number }).status ?? 0) : 0

/** An error about `url`. */
export const httpFault = (
  url: string,
  what: string,
  reason: HttpReason,
  fields: object = {},
): Coded => fail(`${shownUrl(url)} ${what}`, 'EHTTP', { reason, ...fields })

/** A secret, a certificate or a login is missing: nothing was asked. `what` is a whole sentence. */
export const credentialsFault = (what: string, reason: 'credentials' | 'login'): Coded =>
  fail(what, 'EHTTP', { reason })

/**
 * Where a redirect leads, absolute; '' if nowhere we would go: what was asked
 * over TLS is not asked again without. Mesos writes '//10.0.0.5:5050/…'.
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

/** The server answered, and not with a 200. */
export const statusFault = (
  url: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  authorized: boolean,
): Coded => {
  const refused = authorized
    ? ': it refuses our credentials'
    : ': it asks for credentials, and none are configured'
  return httpFault(url, `answered ${status}${status === 401 ? refused : ''}`, 'status', {
    status,
    location: redirectTarget(url, headers),
  })
}

/** The connection failed; `late` if our deadline ended it, `stopped` if we did. */
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
  // an AggregateError of two address families has a code and no message
  return httpFault(url, `${what}: ${messageOf(er) || codeOf(er)}`, reason, { cause: er })
}
