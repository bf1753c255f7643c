/**
 * HTTP with the certificates and credentials of the configuration, for the forwarder and for `mesos-dns`. Their
 * files are read at the first exchange and when they change; an unusable file makes the exchange fail, not the
 * program.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import {
  basicHeader,
  FileAuthorization,
  parsePrincipal,
  parseToken,
  type Authorization,
  type Principal,
} from './authorization.ts'
import type { TlsOptions } from './call.ts'
import { Http } from './client.ts'
import { credentialsFault } from './fault.ts'
import { IamLogin, parseServiceAccount, type Logins } from './iam-login.ts'
import { SecretFile } from './secret-file.ts'

/** Paths of files; '' for none. */
export type TlsFiles = {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** True accepts any certificate, as Mesos-DNS does without a CA file. */
  readonly insecure: boolean
}

/** Paths of files, at most one of them; '' for none. */
export type AuthFiles = {
  /** A principal and its secret. */
  readonly basic: string
  /** A static bearer token. */
  readonly token: string
  /** A service account of DC/OS. */
  readonly iam: string
}

export type Security = {
  readonly tls?: TlsFiles | undefined
  readonly auth?: AuthFiles | undefined
  /** A principal that is not in a file; takes precedence over `auth`. */
  readonly principal?: Principal | undefined
}

export type SecurityFile =
  'tls.ca' | 'tls.cert' | 'tls.key' | 'auth.basic' | 'auth.token' | 'auth.iam'

export type SecuredOptions = {
  /** The key of the configuration that names a file. */
  readonly key: (file: SecurityFile) => string
  readonly log: Log
  /** Wall clock, milliseconds. */
  readonly now: () => number
  /** Shared with other clients of the same service account. Default: a login of its own. */
  readonly logins?: Logins
}

const CERTIFICATE = '-----BEGIN CERTIFICATE-----'

const parseCertificates = (text: string): string => {
  if (!text.includes(CERTIFICATE) || !parses(() => new X509Certificate(text)))
    throw fail('holds no certificate in PEM', 'EDATA')
  return text
}

const parseKey = (text: string): string => {
  if (!parses(() => createPrivateKey(text))) throw fail('holds no private key in PEM', 'EDATA')
  return text
}

const parses = (parse: () => unknown): boolean => {
  try {
    parse()
    return true
  } catch {
    return false
  }
}

/** How to parse each kind of file, and whether it is secret. */
const KINDS = {
  'tls.ca': { parse: parseCertificates, secret: false },
  'tls.cert': { parse: parseCertificates, secret: false },
  'tls.key': { parse: parseKey, secret: true },
  'auth.basic': { parse: (text: string) => basicHeader(parsePrincipal(text)), secret: true },
  'auth.token': { parse: parseToken, secret: true },
  'auth.iam': { parse: parseServiceAccount, secret: true },
} as const

/** Returns a function that reads one file; a failure is an EHTTP error. */
const reader = <K extends SecurityFile>(
  kind: K,
  path: string,
  { key, log }: SecuredOptions,
): (() => ReturnType<(typeof KINDS)[K]['parse']>) => {
  type Value = ReturnType<(typeof KINDS)[K]['parse']>
  const { parse, secret } = KINDS[kind]
  const file = new SecretFile<Value>({
    path,
    key: key(kind),
    parse: parse as (text: string) => Value,
    secret,
    log,
  })
  return () => {
    try {
      return file.get()
    } catch (er) {
      throw credentialsFault(messageOf(er), 'credentials')
    }
  }
}

/** The TLS options from files; the same object while no file changes. */
export const tlsReader = (files: TlsFiles, options: SecuredOptions): (() => TlsOptions) => {
  const parts = (['ca', 'cert', 'key'] as const)
    .filter(name => files[name] !== '')
    .map(name => ({ name, read: reader(`tls.${name}`, files[name], options) }))
  let last: TlsOptions | undefined
  return () => {
    const now = Object.fromEntries(parts.map(({ name, read }) => [name, read()])) as TlsOptions
    if (!last || parts.some(({ name }) => last?.[name] !== now[name]))
      last = { ...now, ...(files.insecure ? { insecure: true } : {}) }
    return last
  }
}

/** Warns once if a secret is sent without TLS to another host. */
const inTheClear = (inner: Authorization, log: Log): Authorization => {
  let told = false
  return {
    header: (url, ask) => {
      const { protocol, hostname } = new URL(url)
      if (!told && protocol === 'http:' && !/^(127\.|localhost$|\[::1\]$)/.test(hostname)) {
        told = true
        log.warn('credentials for Mesos travel unencrypted; use https', { host: hostname })
      }
      return inner.header(url, ask)
    },
    refused: header => inner.refused(header),
  }
}

const authorizationOf = (
  { auth, principal }: Security,
  options: SecuredOptions,
): Authorization | undefined => {
  if (principal) return new FileAuthorization(() => basicHeader(principal))
  const { basic = '', token = '', iam = '' } = auth ?? {}
  if (basic !== '') return new FileAuthorization(reader('auth.basic', basic, options))
  if (token !== '') return new FileAuthorization(reader('auth.token', token, options))
  if (iam === '') return undefined
  const { logins, now } = options
  const login = logins?.get(iam) ?? new IamLogin(reader('auth.iam', iam, options), now)
  logins?.set(iam, login)
  return login
}

/** The key that the credentials come from; '' for none. */
const keyOf = ({ auth, principal }: Security, { key }: SecuredOptions): string => {
  if (principal) return key('auth.basic')
  const kind = (['basic', 'token', 'iam'] as const).find(one => (auth?.[one] ?? '') !== '')
  return kind === undefined ? '' : key(`auth.${kind}`)
}

/** A client for Mesos and its masters. */
export const securedHttp = (security: Security, options: SecuredOptions): Http => {
  const { tls } = security
  const authorization = authorizationOf(security, options)
  return new Http({
    ...(tls ? { tls: tlsReader(tls, options) } : {}),
    ...(authorization
      ? {
          authorization: inTheClear(authorization, options.log),
          credentials: keyOf(security, options),
        }
      : {}),
  })
}

/** The files that are unusable now, by the key that names them; for `spartan check`. */
export const securityTroubles = (
  { tls, auth }: Security,
  options: SecuredOptions,
): { readonly key: string; readonly problem: string }[] =>
  (Object.keys(KINDS) as SecurityFile[]).flatMap(kind => {
    const [section, name] = kind.split('.') as ['tls' | 'auth', string]
    const path = ((section === 'tls' ? tls : auth) as Record<string, unknown> | undefined)?.[name]
    if (typeof path !== 'string' || path === '') return []
    try {
      reader(kind, path, options)()
      return []
    } catch (er) {
      return [{ key: options.key(kind), problem: messageOf(er) }]
    }
  })
