/**
 * One exchange with the admin server of a daemon over TCP: HTTP, or HTTPS with a certificate authority of the
 * operator's choice, and with the daemon's token if it asks for one.
 */
import { silent } from '../base/log.ts'
import { canonicalIp, hostPort } from '../base/ip.ts'
import { isLoopback } from '../config/address.ts'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { codeOf, fail, messageOf } from '../base/error.ts'
import type { HttpResponse } from './call.ts'
import { httpReason } from './fault.ts'

/** Where a daemon listens on TCP, and how it is asked there. */
export type AdminPlace = Endpoint & {
  readonly https?: boolean
  /** File with certificate authorities, PEM. Default: those of Node. */
  readonly ca?: string
  /** File with the bearer token. */
  readonly token?: string
}

export type AdminRequest = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** JSON. */
  readonly body: string | undefined
  readonly deadlineMs: Milliseconds
  readonly maxBytes: number
}

/** Error codes that show that no daemon listens. */
export const ABSENT = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ENOTSOCK',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
])

/** A name may begin like an address: 127.example.org leads anywhere. */
const staysHere = (host: string): boolean =>
  host === 'localhost' || (canonicalIp(host) !== '' && isLoopback(host))

export const showPlace = ({ address, port, https }: AdminPlace): string =>
  `${https ? 'https' : 'http'}://${hostPort(address, port)}`

/** An error that shows that no daemon listens keeps its code; others are EHTTP, or EUSAGE. */
export const exchangeOverTcp = async (
  place: AdminPlace,
  { method, path, body, deadlineMs, maxBytes }: AdminRequest,
): Promise<HttpResponse> => {
  const { address, https = false, ca = '', token = '' } = place
  if (token !== '' && !https && !staysHere(address))
    throw fail(
      `the token would travel to ${showPlace(place)} unencrypted: give the daemon a certificate (admin.tls), and use https`,
      'EUSAGE',
    )
  // Loaded on demand, because a daemon that starts loads this file with the command line and never comes here.
  const { securedHttp } = await import('./secured.ts')
  const http = securedHttp(
    {
      ...(https ? { tls: { ca, cert: '', key: '', insecure: false } } : {}),
      ...(token === '' ? {} : { auth: { basic: '', token, iam: '' } }),
    },
    {
      key: file => (file === 'tls.ca' ? 'certificate authority' : 'token'),
      log: silent,
      now: Date.now,
    },
  )
  try {
    return await http.exchange(`${showPlace(place)}${path}`, {
      method,
      deadlineMs,
      maxBytes,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    })
  } catch (er) {
    throw causeOf(place, er, deadlineMs)
  } finally {
    await http.close()
  }
}

/** OpenSSL's and Node's codes for a certificate that is not trusted. */
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO|CERT_|ALTNAME/

const causeOf = (place: AdminPlace, er: unknown, deadlineMs: number): unknown => {
  const { cause } = er as { cause?: unknown }
  const code = codeOf(cause)
  if (httpReason(er) === 'timeout')
    return fail(`the daemon did not answer within ${deadlineMs} ms`, 'EHTTP')
  if (UNTRUSTED.test(code))
    return fail(
      `the certificate of ${showPlace(place)} is not trusted: ${messageOf(cause)}; --ca names its authority`,
      'EHTTP',
      { cause },
    )
  return ABSENT.has(code) ? cause : er
}
