/**
 * The keys of Mesos-DNS with the type of each, and the values of a file after a type check. config.ts interprets
 * them.
 */
import { nearest } from '../config/nearest.ts'
import { fail, type Coded } from '../base/error.ts'

export type Kind =
  'text' | 'flag' | 'list' | 'lists' | 'object' | readonly [least: number, most: number]

const SECONDS: Kind = [0, 2 ** 31 - 1]
const PORT: Kind = [1, 65_535]

/** Every key of Mesos-DNS in its usual spelling. */
const KEYS = {
  zk: 'text',
  masters: 'list',
  refreshSeconds: [1, 86_400],
  ttl: SECONDS,
  domain: 'text',
  port: PORT,
  listener: 'text',
  resolvers: 'list',
  zoneResolvers: 'lists',
  timeout: [0, 3_600],
  stateTimeoutSeconds: [1, 86_400],
  zkDetectionTimeout: [0, 86_400],
  httpPort: PORT,
  httpListener: 'text',
  dnsOn: 'flag',
  httpOn: 'flag',
  externalOn: 'flag',
  recurseOn: 'flag',
  enumerationOn: 'flag',
  IPSources: 'list',
  enforceRFC952: 'flag',
  setTruncateBit: 'flag',
  SRVRecordDefaultWeight: [0, 65_535],
  SOAMname: 'text',
  SOARname: 'text',
  SOARefresh: SECONDS,
  SOARetry: SECONDS,
  SOAExpire: SECONDS,
  SOAMinttl: SECONDS,
  mesosHTTPSOn: 'flag',
  caCertFile: 'text',
  certFile: 'text',
  keyFile: 'text',
  mesosCredentials: 'object',
  iamConfigFile: 'text',
  mesosAuthentication: 'text',
  // an addition of ours
  compat: 'text',
  allow: 'list',
  mesosHTTPSInsecure: 'flag',
} as const satisfies Readonly<Record<string, Kind>>

export type Key = keyof typeof KEYS

/** What values a key takes. */
export const kindOf = (key: Key): Kind => KEYS[key]

/** Keys in many sample files that Mesos-DNS ignores. */
const IGNORED = new Set(['email', 'ns', 'file', 'soaserial'])

const byLowerCase = new Map((Object.keys(KEYS) as Key[]).map(key => [key.toLowerCase(), key]))

/** An error about a value; the message begins with its key. */
export const refused = (key: string, reason: string): Coded =>
  fail(`${key} ${reason}`, 'ECONFIG', { key, reason })

/** A value as written, shortened. */
export const shown = (value: unknown): string =>
  (JSON.stringify(value) ?? String(value)).slice(0, 80)

/** Why a value has the wrong type; '' if it is right. */
const mismatch = (kind: Kind, value: unknown): string => {
  const texts = (list: unknown): boolean =>
    Array.isArray(list) && list.every(one => typeof one === 'string')
  const object = typeof value === 'object' && value !== null && !Array.isArray(value)
  switch (kind) {
    case 'text':
      return typeof value === 'string' ? '' : 'must be a string'
    case 'flag':
      return typeof value === 'boolean' ? '' : 'must be true or false'
    case 'list':
      return texts(value) ? '' : 'must be a list of strings'
    case 'lists':
      return object && Object.values(value).every(texts)
        ? ''
        : 'must be an object with a list of strings for each zone'
    case 'object':
      return object ? '' : 'must be an object'
    default: {
      const [least, most] = kind
      const whole = typeof value === 'number' && Number.isInteger(value)
      return whole && value >= least && value <= most
        ? ''
        : `must be a whole number, ${least} to ${most}`
    }
  }
}

/** The values of a file by key, each of the right type. */
export class Given {
  readonly #values = new Map<Key, unknown>()
  readonly warnings: string[] = []

  constructor(json: unknown) {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw fail('the file must hold a JSON object', 'ECONFIG')
    }
    for (const [word, value] of Object.entries(json)) this.#take(word, value)
  }

  #take(word: string, value: unknown): void {
    const key = byLowerCase.get(word.toLowerCase())
    if (key === undefined) {
      if (IGNORED.has(word.toLowerCase())) return
      const meant = nearest(word, Object.keys(KEYS))
      this.warnings.push(
        `${word} is no key of Mesos-DNS and is ignored${meant ? `; did you mean ${meant}?` : ''}`,
      )
      return
    }
    // treated as missing
    if (value === null) return
    const why = mismatch(KEYS[key], value)
    if (why !== '') throw refused(key, `${why}, not ${shown(value)}`)
    if (this.#values.has(key))
      this.warnings.push(`${key} is given more than once; the last one counts`)
    this.#values.set(key, value)
  }

  has(key: Key): boolean {
    return this.#values.has(key)
  }

  text(key: Key, otherwise = ''): string {
    return (this.#values.get(key) as string | undefined) ?? otherwise
  }

  flag(key: Key, otherwise: boolean): boolean {
    return (this.#values.get(key) as boolean | undefined) ?? otherwise
  }

  whole(key: Key, otherwise: number): number {
    return (this.#values.get(key) as number | undefined) ?? otherwise
  }

  list(key: Key, otherwise: readonly string[] = []): readonly string[] {
    return (this.#values.get(key) as string[] | undefined) ?? otherwise
  }

  lists(key: Key): Readonly<Record<string, readonly string[]>> {
    return (this.#values.get(key) as Record<string, string[]> | undefined) ?? {}
  }

  /** Fields of an object, with keys in any case. */
  fields(key: Key): ReadonlyMap<string, unknown> {
    const object = (this.#values.get(key) as Record<string, unknown> | undefined) ?? {}
    return new Map(Object.entries(object).map(([name, value]) => [name.toLowerCase(), value]))
  }
}
