/**
 * Logs a DC/OS service account in: a login signed with its private key (RS256) returns a token for the following
 * requests. The token is renewed before it expires and when a server refuses it.
 */
import { createPrivateKey, createSign, type KeyObject } from 'node:crypto'
import { fail, messageOf } from '../base/error.ts'
import type { Ask, Authorization } from './authorization.ts'
import { credentialsFault, shownUrl } from './fault.ts'
import { retryAfterMs } from './retry-after.ts'

export type ServiceAccount = {
  readonly uid: string
  readonly privateKey: KeyObject
  readonly loginEndpoint: string
}

/** Lifetime in the login request. A token without an expiry is used for half of it. */
const LOGIN_LIFE_MS = 3_600_000
const LOGIN_DEADLINE_MS = 10_000
/** A token is used for this share of its lifetime. */
const USED_SHARE = 0.8

/** Parses a service account in DC/OS's format. Throws EDATA without any part of the content. */
export const parseServiceAccount = (text: string): ServiceAccount => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw fail('is no JSON', 'EDATA')
  }
  const { uid, private_key: pem, login_endpoint: at } = (json ?? {}) as Record<string, unknown>
  const http =
    typeof at === 'string' && /^https?:$/.test(URL.canParse(at) ? new URL(at).protocol : '')
  if (typeof uid !== 'string' || typeof pem !== 'string' || typeof at !== 'string' || !http)
    throw fail('must hold uid, private_key and login_endpoint', 'EDATA')
  let privateKey: KeyObject | undefined
  try {
    privateKey = createPrivateKey(pem)
  } catch {
    // reported below
  }
  if (privateKey?.asymmetricKeyType !== 'rsa')
    throw fail('must hold an RSA key in PEM as private_key', 'EDATA')
  return { uid, privateKey, loginEndpoint: at }
}

const base64url = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url')

/** The signed login, a JSON Web Token (RFC 7519); `now` in milliseconds. */
export const loginToken = ({ uid, privateKey }: ServiceAccount, now: number): string => {
  const exp = Math.floor((now + LOGIN_LIFE_MS) / 1_000)
  const head = `${base64url({ alg: 'RS256', typ: 'JWT' })}.${base64url({ uid, exp })}`
  return `${head}.${createSign('RSA-SHA256').update(head).sign(privateKey, 'base64url')}`
}

/** When a token expires, in milliseconds; NaN if it contains no time. */
const expiryOf = (token: string): number => {
  try {
    const claims = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    ) as { exp?: unknown } | null
    return typeof claims?.exp === 'number' ? claims.exp * 1_000 : NaN
  } catch {
    return NaN
  }
}

type Held = {
  readonly token: string
  readonly account: ServiceAccount
  readonly renewAt: number
  readonly expiresAt: number
}

/** By the path of the service account's file: clients that share this log in once, and use one token. */
export type Logins = Map<string, IamLogin>

export class IamLogin implements Authorization {
  readonly #account: () => ServiceAccount
  readonly #now: () => number
  #held: Held | undefined
  #login: Promise<Held> | undefined

  /** `account` returns the current service account, and may throw EHTTP; `now` is the wall clock in milliseconds. */
  constructor(account: () => ServiceAccount, now: () => number) {
    this.#account = account
    this.#now = now
  }

  async header(_url: string, ask: Ask): Promise<string> {
    const account = this.#account()
    const held = this.#held
    const usable = held?.account === account && this.#now() < held.expiresAt
    if (usable && this.#now() < held.renewAt) return header(held)
    const another = this.#login
    try {
      this.#held = await (another ?? this.#begin(account, ask))
    } catch (er) {
      // the old token can still be used until it expires
      if (usable && this.#held === held) return header(held)
      if (!another) throw er
      // the client whose login we waited for may have been closed
      this.#held = await (this.#login ?? this.#begin(account, ask))
    }
    return header(this.#held)
  }

  refused(refusedHeader: string): boolean {
    if (this.#held && header(this.#held) === refusedHeader) this.#held = undefined
    return true
  }

  #begin(account: ServiceAccount, ask: Ask): Promise<Held> {
    const login = this.#logIn(account, ask).finally(() => (this.#login = undefined))
    return (this.#login = login)
  }

  async #logIn(account: ServiceAccount, ask: Ask): Promise<Held> {
    const { uid, loginEndpoint } = account
    const at = shownUrl(loginEndpoint)
    let status = 0
    let body: Buffer
    let askedMs: number
    try {
      const response = await ask(loginEndpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uid, token: loginToken(account, this.#now()) }),
        deadlineMs: LOGIN_DEADLINE_MS,
        maxBytes: 64 * 1024,
      })
      ;({ status, body } = response)
      askedMs = retryAfterMs(status, response.headers, this.#now())
    } catch (er) {
      throw credentialsFault(`the login failed: ${messageOf(er)}`, 'login')
    }
    const token = status === 200 ? tokenIn(body) : ''
    if (token === '')
      throw credentialsFault(`the login at ${at} answered ${status} and no token`, 'login', {
        retryAfterMs: askedMs,
      })
    const now = this.#now()
    const life = expiryOf(token) - now
    // a token that has already expired by our clock: one of the clocks is wrong, and the server decides
    const sound = life > 0
    return {
      token,
      account,
      renewAt: now + (sound ? life * USED_SHARE : LOGIN_LIFE_MS / 2),
      expiresAt: sound ? now + life : Infinity,
    }
  }
}

const header = ({ token }: Held): string => `token=${token}`

/** The token in a login's answer; '' if there is none that is valid in a header. */
const tokenIn = (body: Buffer): string => {
  try {
    const { token } = JSON.parse(body.toString('utf8')) as { token?: unknown }
    return typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : ''
  } catch {
    return ''
  }
}
