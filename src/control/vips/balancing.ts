/**
 * The daemon's side of the balancer: the stream to it, what it has programmed, and the resulting answers for VIP
 * names. It exists as long as the daemon; the VIP service is replaced when the configuration changes.
 */
import type { Log } from '../../base/log.ts'
import type { ZoneMap } from '../../boundary/zone.ts'
import type { AdminRequest, AdminResponse, Route } from '../../http/route.ts'
import { readAck, type BalanceReport } from '../../vip/feed.ts'
import { hostPort } from '../../base/ip.ts'
import { together } from '../../base/together.ts'
import type { VipView } from '../../ops/status.ts'
import { L4LB_APEX, vipKey } from '../../vip/record.ts'
import { AnswerChoice, type Answer } from './answer-choice.ts'
import { VipFeed, type Connected, type FeedTable } from './feed.ts'
import type { HostBalancers } from './host-balancers.ts'
import { ProgrammedNames } from './programmed-names.ts'
import type { ShownVip } from '../../vip/table.ts'

export type BalancingOptions = {
  readonly log: Log
  readonly host: () => HostBalancers
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Interval of checks of this host; default 10 s. */
  readonly lookMs?: number
}

export type BalanceStatus = {
  /** What VIP names resolve to, and why. */
  readonly answer: Answer
  readonly configured: Answer | 'auto'
  readonly reason: string
  /** Number of names that wait for their rules. */
  readonly waiting: number
  /** The balancer, undefined if none is connected. */
  readonly balancer:
    (BalanceReport & { readonly since: number; readonly behind: number }) | undefined
}

const LOOK_MS = 10_000

export class Balancing {
  readonly feed = new VipFeed()
  readonly #options: BalancingOptions
  readonly #names = new ProgrammedNames()
  #configured: Answer | 'auto' = 'auto'
  #choice = new AnswerChoice('auto')
  #end: (() => void) | undefined
  #onChange: () => void = () => {}

  constructor(options: BalancingOptions) {
    this.#options = options
    this.feed.onBalancer(() => {
      this.#look()
      this.#onChange()
    })
  }

  /** Sets the configured answer, and starts to check the host. */
  configure(answer: Answer | 'auto'): void {
    if (answer !== this.#configured) {
      this.#configured = answer
      this.#choice = new AnswerChoice(answer)
    }
    this.#look()
    this.#end ??= together(this.#options.lookMs ?? LOOK_MS, () => this.#look())
  }

  close(): void {
    this.#end?.()
    this.#end = undefined
    this.#onChange = () => {}
  }

  /** Called when the table must be served again. There is one listener: the current service. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  get answer(): Answer {
    return this.#choice.answer
  }

  get connected(): Connected | undefined {
    return this.feed.connected
  }

  /** Returns the number of the table. */
  offer(vips: () => readonly ShownVip[], rest: Omit<FeedTable, 'vips'>): number {
    return this.feed.offer({
      get vips() {
        return vips()
      },
      ...rest,
    })
  }

  /** Removes VIP addresses from a zone that the kernel cannot balance yet. */
  programmed(zone: ZoneMap, number: number, now: number): ZoneMap {
    const acked = this.answer === 'vip' ? this.connected?.acked : undefined
    return this.#names.filter(zone, number, acked, now)
  }

  nextMs(now: number): number {
    return this.#names.nextMs(now)
  }

  /** Whether this VIP's current backends are in the kernel. */
  isProgrammed(vip: ShownVip): boolean {
    const { connected } = this
    const at = this.feed.changedAt(vipKey(vip))
    return connected !== undefined && at > 0 && connected.acked >= at
  }

  get status(): BalanceStatus {
    const { connected } = this
    return {
      answer: this.answer,
      configured: this.#configured,
      reason: this.#choice.reason,
      waiting: this.#names.waiting,
      balancer: connected && {
        ...connected.report,
        since: connected.since,
        behind: this.feed.number - connected.acked,
      },
    }
  }

  /** A problem for the operator; '' if there is none. */
  get trouble(): string {
    if (this.#choice.leadsNowhere(this.#options.now()))
      return 'vips.answer is vip, but no balancer runs on this host, so the addresses lead nowhere: start spartan-balance.service, or set vips.answer to auto'
    const report = this.connected?.report
    return report && report.trouble !== '' ? `the balancer: ${report.trouble}` : ''
  }

  /** `vips` are the served ones; `nodes` maps addresses to names, to show where a backend runs. */
  routes(vips: () => readonly ShownVip[], nodes: () => ReadonlyMap<string, string>): Route[] {
    return [
      {
        method: 'GET',
        path: '/v1/balance',
        handle: () => {
          const names = nodes()
          return { json: { ...this.status, vips: vips().map(vip => this.view(vip, names)) } }
        },
      },
      {
        method: 'GET',
        path: '/v1/vips/changes',
        unixOnly: true,
        handle: ({ query, gone }: AdminRequest): AdminResponse => ({
          chunks: this.feed.lines(query.get('since') ?? '', gone),
          headers: { 'content-type': 'application/x-ndjson' },
        }),
      },
      {
        method: 'POST',
        path: '/v1/vips/programmed',
        handle: ({ body }) => {
          const ack = readAck(body)
          if (!ack) return { status: 400, json: { error: 'this is not a report of a balancer' } }
          return this.feed.acknowledge(ack)
            ? { status: 204 }
            : { status: 409, json: { error: 'no stream of that session is open' } }
        },
      },
    ]
  }

  /** A VIP for the operator. */
  view(vip: ShownVip, nodes: ReadonlyMap<string, string>): VipView {
    const { name, ip, port, protocol, address4, address6, backends } = vip
    const addresses = [address4, address6].filter(Boolean)
    const { connections } = this.connected?.report ?? {}
    const healthy = backends.some(({ weight }) => weight > 0)
    return {
      vip: name === '' ? hostPort(ip, port) : `${name}.${L4LB_APEX}:${port}`,
      protocol,
      addresses,
      programmed: this.isProgrammed(vip),
      connections: connections
        ? addresses.reduce((n, at) => n + (connections[`${at} . ${protocol} . ${port}`] ?? 0), 0)
        : undefined,
      backends: backends.map(backend => ({
        ip: backend.ip,
        port: backend.port,
        weight: backend.weight,
        state: backend.weight > 0 ? 'up' : healthy ? 'drained' : 'ill, used because all are',
        node: nodes.get(backend.ip) ?? '',
      })),
    }
  }

  #look(): void {
    const facts = { connected: this.#complete(), ...this.#options.host() }
    const before = this.#choice.reason
    const changed = this.#choice.update(facts, this.#options.now())
    if (this.#choice.reason !== before)
      this.#options.log.info(
        `VIP names resolve to ${this.answer === 'vip' ? 'their VIP addresses' : 'their backends'}`,
        {
          reason: this.#choice.reason,
        },
      )
    if (changed) this.#onChange()
  }

  /** A balancer is connected and has programmed a complete table, perhaps not the newest. */
  #complete(): boolean {
    return (this.connected?.acked ?? -1) > 0
  }
}
