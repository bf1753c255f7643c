/**
 * The VIP service: collects this node's VIPs (from its agent's tasks and its files) for the gossip, merges those of
 * all nodes, and publishes `l4lb.thisdcos.directory`, in which names stay for their grace time. Without gossip there
 * are only this node's own records.
 */
import type { Log } from '../../base/log.ts'
import type { AddressRange } from '../../vip/hash/vip-address.ts'
import type { Http } from '../../http/client.ts'
import { Pace } from '../../base/pace.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import { AgentVips, type AgentVipsStatus } from './agent-source.ts'
import { VipFiles, type VipFileStatus } from './file-source.ts'
import { L4LB_APEX, sameVips, unionOf, type VipRecord } from '../../vip/record.ts'
import { VipTable, type OwnerVips, type ShownVip, type VipCounts } from '../../vip/table.ts'
import { BackendNames } from '../../vip/backend-names.ts'
import { servedVipZone, VipAddresses } from '../../vip/zone.ts'
import type { Balancing } from './balancing.ts'
import { localKey, type LocalBackends } from './feed.ts'

export type VipServiceOptions = {
  readonly http: Http
  readonly log: Log
  /** This node's name, the owner of its own records. */
  readonly node: string
  /** Decides what names resolve to, and feeds the balancer. */
  readonly balancing: Balancing
  /** Base URL of this host's Mesos agent, or 'local'; '' for none. */
  readonly agent: string
  /** Whether a local agent is asked over TLS only. */
  readonly tls?: boolean
  /** Address of this host's backends from the configuration; '' uses the agent's. */
  readonly address?: string
  /** This node's current address, for an agent that reports none. */
  readonly nodeIp: () => string
  /** Its IPv6 address, '' for none. */
  readonly nodeIp6?: () => string
  readonly files: readonly string[]
  readonly graceMs: number
  readonly ipv6: boolean
  readonly range4?: AddressRange
  readonly range6?: AddressRange
  /** Called with this node's own records once they are known, and whenever they change. */
  readonly onOwn: (records: readonly VipRecord[]) => void
  /** `loaded` false: this node does not know all VIPs yet (see ZonePublisher.publish). */
  readonly onZone: (apex: string, change: ZoneChange, loaded: boolean) => void
  /** True before gossip has synced: until `markSynced` the zone does not count as loaded. */
  readonly awaitSync: boolean
  /** The own records of the previous service (before a reload), used until the agent answers. */
  readonly remembered?: readonly VipRecord[]
  readonly now: () => number
  readonly random: () => number
  readonly pollMs?: number
  readonly watchMs?: number
  /** Longest wait for the agent's first answer; 30 s. */
  readonly agentMs?: number
}

/** Shortest interval of updates of the zone while gossip brings many changes. */
const PACE_MS = 100
/** An agent that has not answered by then is treated as down, and its VIPs as missing. */
const AGENT_MS = 30_000

export type VipStatus = VipCounts & {
  readonly agent: AgentVipsStatus | undefined
  readonly files: readonly VipFileStatus[]
}

export class VipService {
  readonly #options: VipServiceOptions
  readonly #agent: AgentVips | undefined
  readonly #files: VipFiles | undefined
  readonly #table: VipTable
  readonly #addresses = new VipAddresses()
  readonly #names = new BackendNames()
  #local: LocalBackends = new Map()
  #own: readonly VipRecord[] = []
  #others: readonly OwnerVips[] = []
  #synced: boolean
  /** Whether the agent has answered; only then are our own records complete. */
  #heard: boolean
  /** Whether the agent has been waited for long enough. */
  #late = false
  /** Whether our records were passed to gossip. */
  #told = false
  /** Computed on demand from the current table. */
  #shown: readonly ShownVip[] | undefined
  readonly #pace = new Pace(PACE_MS)
  #timer: NodeJS.Timeout | undefined
  #agentTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: VipServiceOptions) {
    this.#options = options
    this.#table = new VipTable(options.graceMs)
    this.#synced = !options.awaitSync
    this.#heard = options.agent === ''
    options.balancing.onChange(() => this.#serve())
    const onChange = (): void => this.#gather()
    const { agent, files, pollMs, watchMs } = options
    if (agent !== '') {
      const heard = (): void => {
        this.#heard = true
        this.#local = localBackends(this.#agent)
        onChange()
      }
      this.#agent = new AgentVips({
        ...options,
        onChange: heard,
        ...(pollMs === undefined ? {} : { pollMs }),
      })
    }
    if (files.length > 0) {
      const everyMs = watchMs === undefined ? {} : { everyMs: watchMs }
      this.#files = new VipFiles({ paths: files, log: options.log, onChange, ...everyMs })
    }
  }

  /** Reads the files, then starts to poll the agent. */
  async start(): Promise<void> {
    await this.#files?.start()
    if (this.#closed) return
    this.#agent?.start()
    this.#serve()
    if (this.#heard) return
    this.#agentTimer = setTimeout(() => {
      this.#late = true
      this.#serve()
    }, this.#options.agentMs ?? AGENT_MS)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#agentTimer)
    await Promise.all([this.#agent?.close(), this.#files?.close()])
  }

  /** This node's own records. */
  get own(): readonly VipRecord[] {
    return this.#own
  }

  /**
   * Sets the records of all nodes. Those that they hold for this node are used until our agent has answered, and
   * ignored from then on.
   */
  setOthers(owners: Iterable<OwnerVips>): void {
    this.#others = [...owners]
    this.#serve()
  }

  /** Gossip has synced, or there is no peer to wait for. */
  markSynced(): void {
    if (this.#synced) return
    this.#synced = true
    this.#serve()
  }

  get status(): VipStatus {
    return {
      ...this.#table.counts,
      agent: this.#agent?.status,
      files: this.#files?.status ?? [],
    }
  }

  /** All VIPs as served, for `/v1/vips`, the status page and `spartan vips`. */
  get vips(): readonly ShownVip[] {
    this.#shown ??= this.#show()
    return this.#shown
  }

  #show(): ShownVip[] {
    const { vips } = this.#table
    const { v4, v6 } = this.#addresses.of(vips, this.#ranges)
    return vips.map(vip => ({
      ...vip,
      address4: vip.ip === '' ? (v4.get(vip.name) ?? '') : vip.v4 ? vip.ip : '',
      address6: vip.ip === '' ? (v6.get(vip.name) ?? '') : vip.v6 ? vip.ip : '',
    }))
  }

  get #ranges(): { range4?: AddressRange; range6?: AddressRange; ipv6: boolean } {
    const { range4, range6, ipv6 } = this.#options
    return { ...(range4 ? { range4 } : {}), ...(range6 ? { range6 } : {}), ipv6 }
  }

  #gather(): void {
    if (this.#closed) return
    const own = unionOf([this.#files?.records ?? [], this.#agent?.records ?? []])
    const changed = !this.#told || !sameVips(own, this.#own)
    this.#own = own
    // before the agent has answered, incomplete records must not replace those that other nodes hold
    if (changed && this.#heard) {
      this.#told = true
      this.#options.onOwn(own)
    }
    this.#serve()
  }

  /** The records of all nodes; for this node, until the agent has answered, also earlier ones. */
  #owners(): OwnerVips[] {
    const { node, remembered = [] } = this.#options
    const own = { owner: node, records: this.#own }
    if (this.#heard) return [own, ...this.#others.filter(({ owner }) => owner !== node)]
    return [own, { owner: node, records: remembered }, ...this.#others]
  }

  #serve(): void {
    if (this.#closed) return
    const { balancing, now: clock, onZone, nodeIp, nodeIp6 } = this.#options
    const now = clock()
    clearTimeout(this.#timer)
    let next = this.#pace.wait(now)
    if (next === 0) {
      this.#pace.done(now)
      const vips = this.#table.update(this.#owners(), now)
      this.#shown = undefined
      const loaded = this.#synced && (this.#heard || this.#late)
      const number = balancing.offer(() => this.vips, {
        local: this.#local,
        loaded,
        own4: nodeIp(),
        own6: nodeIp6?.() ?? '',
      })
      const { answer } = balancing
      const zone = servedVipZone(vips, { answer, ...this.#ranges }, this.#addresses, this.#names)
      onZone(L4LB_APEX, { kind: 'full', zone: balancing.programmed(zone, number, now) }, loaded)
      next = Math.min(this.#table.nextMs(now), balancing.nextMs(now))
    }
    if (next < Infinity) this.#timer = setTimeout(() => this.#serve(), next)
  }
}

/** Backends on this host, and where they are reached from here. */
const localBackends = (agent: AgentVips | undefined): LocalBackends => {
  const local = new Map<string, { ip: string; port: number }>()
  for (const { protocol, backends } of agent?.records ?? [])
    for (const { ip, port } of backends) local.set(localKey(protocol, ip, port), { ip, port })
  for (const { protocol, ip, port, container } of agent?.mapped ?? [])
    local.set(localKey(protocol, ip, port), container)
  return local
}
