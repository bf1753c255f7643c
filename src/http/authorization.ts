/**
 * Credentials for HTTP requests: the value of the Authorization header, from a file with a principal and its secret,
 * or one with a token. iam-login.ts handles logins.
 */
import { fail } from '../base/error.ts'
import type { HttpCall, HttpResponse } from './call.ts'

/** One exchange without credentials, for a login. */
export type Ask = (url: string, call: HttpCall) => Promise<HttpResponse>

export interface Authorization {
  /** The header for a request to `url`. Rejects with EHTTP, reason 'credentials' or 'login'. */
  header(url: string, ask: Ask): Promise<string>
  /** A server refused this header with 401. Returns whether another one is available at once. */
  refused(header: string): boolean
}

/** A principal and its secret (RFC 7617). */
export type Principal = { readonly principal: string; readonly secret: string }

/** Basic credentials in UTF-8, as a header. */
export const basicHeader = ({ principal, secret }: Principal): string =>
  `Basic ${Buffer.from(`${principal}:${secret}`).toString('base64')}`

// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f]/

/** The only non-empty line, trimmed. */
const onlyLine = (text: string): string => {
  const lines = text.split('\n').map(line => line.trim())
  const said = lines.filter(line => line !== '')
  const [line = ''] = said
  if (said.length !== 1) throw fail('must hold exactly one line', 'EDATA')
  return line
}

/**
 * Parses basic credentials: `principal:secret` on one line, `principal secret` as in Mesos's text format, or JSON
 * with the fields `principal` and `secret`, possibly in the list `credentials` as in Mesos's JSON. Throws EDATA.
 */
export const parsePrincipal = (text: string): Principal => {
  const { principal, secret } = text.trimStart().startsWith('{') ? fromJson(text) : fromLine(text)
  if (principal === '') throw fail('names no principal', 'EDATA')
  // the first colon ends the principal (RFC 7617, section 2)
  if (principal.includes(':') || CONTROLS.test(principal + secret))
    throw fail('holds a principal with a colon, or control characters', 'EDATA')
  return { principal, secret }
}

const fromLine = (text: string): Principal => {
  const [, principal = '', secret = ''] = /^([^:\s]*)(?::|\s+)(.*)$/.exec(onlyLine(text)) ?? []
  return { principal, secret }
}

const fromJson = (text: string): Principal => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw fail('is neither a line nor JSON', 'EDATA')
  }
  type Fields = { principal?: unknown; secret?: unknown; credentials?: unknown }
  const fields = json as Fields
  const { credentials } = fields
  const [one = fields] = Array.isArray(credentials) ? (credentials as Fields[]) : [fields]
  const { principal, secret } = (one ?? {}) as Fields
  if (typeof principal !== 'string' || typeof secret !== 'string')
    throw fail('must hold principal and secret as text', 'EDATA')
  return { principal, secret }
}

/**
 * Parses a static token to a header: `Bearer <token>` (RFC 6750), unless the file includes the scheme, such as
 * `Bearer …` or DC/OS's `token=…`. Throws EDATA.
 */
export const parseToken = (text: string): string => {
  const line = onlyLine(text)
  if (/[^\x20-\x7e]/.test(line)) throw fail('must hold one token in ASCII', 'EDATA')
  if (/^(bearer\s+\S+|token=\S+)$/i.test(line)) return line
  if (/\s/.test(line)) throw fail('must hold one token', 'EDATA')
  return `Bearer ${line}`
}

/** The header from a file, read again when the file changes. */
export class FileAuthorization implements Authorization {
  readonly #read: () => string

  /** `read` returns the header; it may throw EHTTP. */
  constructor(read: () => string) {
    this.#read = read
  }

  async header(): Promise<string> {
    return this.#read()
  }

  /** The file may have changed since. */
  refused(header: string): boolean {
    try {
      return this.#read() !== header
    } catch {
      return false
    }
  }
}
