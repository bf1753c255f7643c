/** The VIPs as a part: from this host's agent and files, and from other nodes over gossip. */
import type { Config } from '../../config/config.ts'
import type { Reason } from '../../boundary/health.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { VipRecord } from '../../vip/record.ts'
import type { OwnerVips, ShownVip } from '../../vip/table.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import type { Http } from '../../http/client.ts'
import type { Route } from '../../http/route.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { VipsStatus } from '../../ops/status.ts'
import { DEFAULT_RANGE_V4, DEFAULT_RANGE_V6 } from '../../vip/hash/vip-address.ts'
import { ownAddress6 } from '../host/own-address.ts'
import { mesosHttp, speaksTls } from '../mesos/mesos-http.ts'
import { agentView } from '../zones/views.ts'
import { VIP_FAMILIES } from './vip-metrics.ts'
import { BALANCE_FAMILIES } from './balance-metrics.ts'
import { Balancing } from './balancing.ts'
import { hostBalancers } from './host-balancers.ts'
import { VipService } from './service.ts'

/** The default of vips.grace, used by nodes without a section vips. */
const GRACE_MS = 30_000
/** Limit of VIPs in the status; `spartan vips` lists all of them. */
const MOST_SHOWN = 100
/** Limit of logged bad labels. */
const MOST_LABELS = 10

export type VipsPartOptions = Environment & {
  /** Called with this node's own VIPs. */
  readonly onOwn: (records: readonly VipRecord[]) => void
  readonly onZone: (apex: string, change: ZoneChange, loaded: boolean, source: string) => void
  /** Called when the service has started and needs the gossip's records. */
  readonly onServing: () => void
  /** Resolves when the gossip has synced; undefined if there is no gossip. */
  readonly synced: () => Promise<void> | undefined
  /** Maps nodes' addresses to their names. */
  readonly nodes: () => ReadonlyMap<string, string>
}

export class VipsPart implements Part {
  readonly name = 'vips'
  readonly #options: VipsPartOptions
  readonly #balancing: Balancing
  #ranges: Pick<NonNullable<Config['vips']>, 'range' | 'range6'> | undefined
  #service: VipService | undefined
  #http: Http | undefined
  #remembered: readonly VipRecord[] | undefined

  constructor(options: VipsPartOptions) {
    this.#options = options
    this.#balancing = new Balancing({
      log: options.log.child({ part: 'vips' }),
      host: () => {
        const { range = DEFAULT_RANGE_V4, range6 = DEFAULT_RANGE_V6 } = this.#ranges ?? {}
        return hostBalancers([range, range6])
      },
      now: () => performance.now(),
    })
  }

  get vips(): readonly ShownVip[] {
    return this.#service?.vips ?? []
  }

  wanted(config: Config): boolean {
    return config.vips !== undefined || config.gossip !== undefined
  }

  async start({ vips, node, gossip, mesos }: Config): Promise<void> {
    const { ownIp, random, onOwn, onZone, onServing } = this.#options
    const log = this.#options.log.child({ part: 'vips' })
    const http = mesosHttp(mesos, log, this.#options.logins)
    this.#http = http
    this.#ranges = vips
    this.#balancing.configure(vips?.answer ?? 'auto')
    const service = new VipService({
      http,
      log,
      node,
      balancing: this.#balancing,
      agent: vips?.agent ?? '',
      tls: speaksTls(mesos),
      address: vips?.address ?? '',
      // Other nodes reach mapped ports of this host's tasks at this node's address.
      nodeIp: ownIp,
      nodeIp6: () => ownAddress6(ownIp()),
      files: vips?.files ?? [],
      graceMs: vips?.grace ?? GRACE_MS,
      ipv6: vips?.enableIpv6 ?? true,
      ...(vips ? { range4: vips.range, range6: vips.range6 } : {}),
      ...(this.#remembered ? { remembered: this.#remembered } : {}),
      onOwn,
      onZone: (apex, change, loaded) => onZone(apex, change, loaded, gossip ? 'gossip' : 'agent'),
      awaitSync: gossip !== undefined,
      now: () => performance.now(),
      random,
    })
    this.#service = service
    this.gossipBegan()
    await service.start()
    if (this.#service === service) onServing()
  }

  /** The gossip has started: the service waits for its first exchange. */
  gossipBegan(): void {
    const service = this.#service
    void this.#options.synced()?.then(() => service?.markSynced())
  }

  setOthers(owners: readonly OwnerVips[]): void {
    this.#service?.setOthers(owners)
  }

  /** For the status; undefined if there are no VIPs. */
  view(): VipsStatus | undefined {
    if (!this.#service) return undefined
    const { answer, reason, balancer } = this.#balancing.status
    const { backends, agent } = this.#service.status
    const names = this.#options.nodes()
    return {
      ...{ answer, reason, balancer, total: this.vips.length, backends },
      agent: agent && agentView(agent),
      list: this.vips.slice(0, MOST_SHOWN).map(vip => this.#balancing.view(vip, names)),
    }
  }

  routes(): readonly Route[] {
    return this.#balancing.routes(() => this.vips, this.#options.nodes)
  }

  metrics(to: Metrics): void {
    to.register(BALANCE_FAMILIES, () => this.#balancing)
    to.register(VIP_FAMILIES, () => this.#service?.status)
  }

  async close(): Promise<void> {
    const old = this.#service
    this.#remembered = old?.own ?? this.#remembered
    const http = this.#http
    this.#service = this.#http = undefined
    this.#balancing.close()
    await old?.close()
    await http?.close()
  }

  status(): readonly Reason[] {
    const status = this.#service?.status
    const troubles: Reason[] = []
    for (const { taskId, label, why } of status?.agent?.badLabels.slice(0, MOST_LABELS) ?? [])
      troubles.push({ name: `task ${taskId}`, detail: `VIP label ${label}: ${why}` })
    if (status?.agent && status.agent.trouble !== '')
      troubles.push({ name: 'Mesos agent', detail: status.agent.trouble })
    const { trouble } = this.#balancing
    if (status && trouble !== '') troubles.push({ name: 'VIPs', detail: trouble })
    for (const file of status?.files ?? [])
      if (file.problem !== '') troubles.push({ name: file.path, detail: file.problem })
    return troubles
  }
}
