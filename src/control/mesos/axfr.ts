/**
 * The copy of the Mesos-DNS zone where a Mesos-DNS runs beside us: its
 * `/v1/axfr` every 30 s, renamed below our own apex. A failed or senseless
 * answer changes nothing.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { RRset } from '../../boundary.ts'
import { fail, messageOf } from '../../error.ts'
import type { Log } from '../../log.ts'
import { httpReason, type Http } from '../http.ts'
import { canonicalIp, familyOf } from '../ip.ts'
import { isName, TTL, type ZoneChange, type ZoneMap } from '../zone.ts'
import { isObject, list, object, text } from './json.ts'
import { MESOS_COPY_APEX } from './mesos-copy.ts'

/** 'web.marathon.mesos.' below `apex`; '' if it is not below the domain, or no name afterwards. */
const renamed = (name: string, domain: string, apex: string): string => {
  const bare = name.toLowerCase().replace(/\.$/, '')
  if (bare !== domain && !bare.endsWith(`.${domain}`)) return ''
  const moved = `${bare.slice(0, bare.length - domain.length)}${apex}`
  return isName(moved) ? moved : ''
}

/** 'target.:port' as rdata; the original's copy said 1 1, Mesos-DNS and we say 0 1. */
const srvData = (value: string, domain: string, apex: string): string => {
  const colon = value.lastIndexOf(':')
  const target = renamed(value.slice(0, Math.max(0, colon)), domain, apex)
  const digits = value.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 65_536
  return target === '' || port > 65_535 ? '' : `0 1 ${port} ${target}`
}

/**
 * The zone an AXFR answer holds, below `apex`, and how many of its records
 * could not be used. Throws EDATA if it is no such answer, or an empty one.
 */
export const zoneFromAxfr = (
  json: unknown,
  apex: string = MESOS_COPY_APEX,
): { zone: ZoneMap; bad: number } => {
  const { Domain: said, Records: records } = object(json)
  const domain = text(said).toLowerCase().replace(/\.$/, '')
  if (domain === '' || !isObject(records)) throw fail('the answer is no zone of Mesos-DNS', 'EDATA')
  const zone = new Map<string, RRset[]>()
  let bad = 0
  const read = (from: unknown, type: string, data: (value: string) => string): void => {
    for (const [name, values] of Object.entries(object(from))) {
      const owner = renamed(name, domain, apex)
      const good =
        owner === ''
          ? []
          : list(values)
              .map(v => data(text(v)))
              .filter(d => d !== '')
      bad += list(values).length - good.length
      if (good.length === 0) continue
      const rrset: RRset = { type, ttl: TTL, data: [...new Set(good)].sort() }
      const held = zone.get(owner)
      if (held) held.push(rrset)
      else zone.set(owner, [rrset])
    }
  }
  const address =
    (family: 4 | 6) =>
    (value: string): string => {
      const ip = canonicalIp(value)
      return familyOf(ip) === family ? ip : ''
    }
  read(records.As, 'A', address(4))
  read(records.AAAAs, 'AAAA', address(6))
  read(records.SRVs, 'SRV', value => srvData(value, domain, apex))
  if (zone.size === 0) throw fail('the zone of Mesos-DNS is empty', 'EDATA')
  return { zone, bad }
}

export type AxfrOptions = {
  readonly http: Http
  readonly log: Log
  /** Base URL of Mesos-DNS' HTTP API, 'http://127.0.0.1:8123'. */
  readonly base: string
  readonly apex?: string
  readonly onZone: (apex: string, change: ZoneChange) => void
  readonly everyMs?: number
  readonly maxBytes?: number
}

export type AxfrStatus = {
  readonly loads: number
  readonly failures: Readonly<Record<string, number>>
  readonly trouble: string
  readonly names: number
  readonly bad: number
}

export class AxfrCopy {
  readonly #options: AxfrOptions
  readonly #closing = new AbortController()
  readonly #failures: Record<string, number> = {}
  #running: Promise<void> | undefined
  #loads = 0
  #names = 0
  #bad = 0
  #trouble = ''

  constructor(options: AxfrOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  get status(): AxfrStatus {
    return {
      loads: this.#loads,
      failures: { ...this.#failures },
      trouble: this.#trouble,
      names: this.#names,
      bad: this.#bad,
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#look()
      await delay(this.#options.everyMs ?? 30_000, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    const { http, base, log, maxBytes, apex = MESOS_COPY_APEX, onZone } = this.#options
    try {
      const url = `${base.replace(/\/$/, '')}/v1/axfr`
      const json = await http.getJson(url, {
        signal: this.#closing.signal,
        ...(maxBytes === undefined ? {} : { maxBytes }),
      })
      const { zone, bad } = zoneFromAxfr(json, apex)
      if (this.#closing.signal.aborted) return
      this.#loads++
      this.#names = zone.size
      this.#bad = bad
      this.#trouble = ''
      onZone(apex, { kind: 'full', zone })
    } catch (er) {
      if (this.#closing.signal.aborted) return
      const reason = httpReason(er) || 'data'
      this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
      if (this.#trouble === '')
        log.warn('the zone of Mesos-DNS cannot be had, the copy stays', { err: messageOf(er) })
      this.#trouble = messageOf(er)
    }
  }
}
