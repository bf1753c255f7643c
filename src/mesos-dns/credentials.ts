/**
 * HTTP to the masters as the configuration asks for it: over TLS, with a
 * password, or with a token of DC/OS's identity service, which is fetched
 * with a signed login and kept until it is refused or old.
 */
import { createSign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  Http,
  type HttpCall,
  type HttpOptions,
  type HttpResponse,
  type HttpStream,
} from '../http/client.ts'
import { fail, messageOf } from '../base/error.ts'
import type { Settings } from './settings.ts'

/** What an IAM configuration file holds. */
type Iam = { readonly uid: string; readonly privateKey: string; readonly loginEndpoint: string }

/** Tokens live for days; an hour is what the login itself says it is good for. */
const TOKEN_MS = 3_600_000
const LOGIN_MS = 10_000

const text = (key: string, file: string): string => {
  if (file === '') return ''
  try {
    return readFileSync(file, 'utf8')
  } catch (er) {
    throw fail(`${key} cannot be read: ${messageOf(er)}`, 'ECONFIG', { key, reason: messageOf(er) })
  }
}

const base64url = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url')

/** A login token, RS256 (RFC 7519); `now` in milliseconds. */
export const loginToken = ({ uid, privateKey }: Iam, now: number): string => {
  const head = `${base64url({ alg: 'RS256', typ: 'JWT' })}.${base64url({ uid, exp: Math.floor((now + TOKEN_MS) / 1_000) })}`
  return `${head}.${createSign('RSA-SHA256').update(head).sign(privateKey, 'base64url')}`
}

const readIam = (file: string): Iam => {
  const refuse = (reason: string): Error =>
    fail(`iamConfigFile ${reason}`, 'ECONFIG', { key: 'iamConfigFile', reason })
  let json: unknown
  try {
    json = JSON.parse(text('iamConfigFile', file))
  } catch (er) {
    throw refuse(`cannot be used: ${messageOf(er)}`)
  }
  const {
    uid,
    private_key: privateKey,
    login_endpoint: loginEndpoint,
  } = (json ?? {}) as Record<string, unknown>
  if (
    typeof uid !== 'string' ||
    typeof privateKey !== 'string' ||
    typeof loginEndpoint !== 'string' ||
    !URL.canParse(loginEndpoint)
  ) {
    throw refuse('must hold uid, private_key and login_endpoint')
  }
  return { uid, privateKey, loginEndpoint }
}

/** Adds the token to every exchange; asks for a new one when it is old or refused. */
export class IamHttp extends Http {
  readonly #iam: Iam
  readonly #now: () => number
  #token = ''
  #until = 0
  #asking: Promise<string> | undefined

  constructor(options: HttpOptions, iam: Iam, now: () => number) {
    super(options)
    this.#iam = iam
    this.#now = now
  }

  override async exchange(url: string, call: HttpCall = {}): Promise<HttpResponse> {
    const response = await super.exchange(url, await this.#signed(call))
    if (response.status === 401) this.#until = 0
    return response
  }

  override async stream(url: string, body: unknown, call: HttpCall = {}): Promise<HttpStream> {
    try {
      return await super.stream(url, body, await this.#signed(call))
    } catch (er) {
      if ((er as { status?: number }).status === 401) this.#until = 0
      throw er
    }
  }

  async #signed(call: HttpCall): Promise<HttpCall> {
    if (this.#now() >= this.#until) {
      this.#asking ??= this.#login().finally(() => (this.#asking = undefined))
      this.#token = await this.#asking
      this.#until = this.#now() + TOKEN_MS / 2
    }
    return { ...call, headers: { ...call.headers, authorization: `token=${this.#token}` } }
  }

  async #login(): Promise<string> {
    const { uid, loginEndpoint } = this.#iam
    const response = await super.exchange(loginEndpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uid, token: loginToken(this.#iam, this.#now()) }),
      deadlineMs: LOGIN_MS,
      maxBytes: 64 * 1024,
    })
    let token: unknown
    try {
      token = (JSON.parse(response.body.toString('utf8')) as { token?: unknown } | null)?.token
    } catch {
      token = undefined
    }
    if (response.status === 200 && typeof token === 'string' && token !== '') return token
    throw fail(`the login at ${loginEndpoint} answered ${response.status} and no token`, 'EHTTP', {
      reason: 'status',
      status: response.status,
    })
  }
}

/** The client for the masters. Throws ECONFIG if a file it needs cannot be used. */
export const mastersHttp = (settings: Settings, now: () => number = Date.now): Http => {
  const { caCertFile, certFile, keyFile, authentication, principal, secret } = settings
  const [ca, cert, key] = [
    text('caCertFile', caCertFile),
    text('certFile', certFile),
    text('keyFile', keyFile),
  ]
  const options: HttpOptions = {
    tls: {
      ...(ca === '' ? {} : { ca }),
      ...(cert === '' ? {} : { cert, key }),
    },
    headers:
      authentication === 'basic'
        ? { authorization: `Basic ${Buffer.from(`${principal}:${secret}`).toString('base64')}` }
        : {},
  }
  return authentication === 'iam'
    ? new IamHttp(options, readIam(settings.iamConfigFile), now)
    : new Http(options)
}
