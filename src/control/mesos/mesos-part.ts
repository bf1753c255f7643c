/** The names of tasks as a part: follows the leading master and fills the zones computed from its state. */
import type { Config } from '../../config/config.ts'
import type { Reason } from '../../boundary/health.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { Http } from '../../http/client.ts'
import { masterUrl } from '../../mesos/api/master-url.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { MesosStatus } from '../../ops/status.ts'
import { MesosSource } from '../../mesos/api/source.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { masterBase, type ZkWatch } from '../masters/zk-watch.ts'
import { mesosView } from '../zones/views.ts'
import { mesosCopy } from './mesos-copy.ts'
import { MESOS_FAMILIES, type MesosReadings } from './mesos-metrics.ts'
import { mesosHttp, speaksTls } from './mesos-http.ts'

export type MesosPartOptions = Environment & {
  /** Addresses of the current masters. */
  readonly masters: () => string[]
  /** The masters in ZooKeeper; undefined if it is not watched. */
  readonly zooKeeper: () => ZkWatch | undefined
  readonly onZone: (apex: string, change: ZoneChange) => void
}

export class MesosPart implements Part {
  readonly name = 'mesos'
  readonly #options: MesosPartOptions
  #source: MesosSource | undefined
  #http: Http | undefined
  #asksOwnMaster = false

  constructor(options: MesosPartOptions) {
    this.#options = options
  }

  wanted(config: Config): boolean {
    return !!config.mesos?.master
  }

  start({ mesos }: Config): void {
    if (!mesos?.master) return
    const { random, masters, zooKeeper, ownIp, onZone } = this.#options
    const { master, ipSources } = mesos
    const log = this.#options.log.child({ part: 'mesos' })
    const http = mesosHttp(mesos, log, this.#options.logins)
    const scheme = speaksTls(mesos) || master.startsWith('https:') ? 'https' : 'http'
    const byZooKeeper = master === 'zk'
    this.#http = http
    this.#asksOwnMaster = !byZooKeeper && mesos.leaderOnly
    this.#source = new MesosSource({
      http,
      log,
      bases: () =>
        byZooKeeper
          ? (zooKeeper()?.list ?? []).map(found => masterBase(found, scheme))
          : [masterUrl(master, ownIp(), scheme)],
      leader: () => masterBase(zooKeeper()?.leader ?? '', scheme),
      masters,
      follow: byZooKeeper || !mesos.leaderOnly,
      onZone,
      copies: [mesosCopy({ masters, ipSources })],
      now: () => performance.now(),
      random,
    })
    this.#source.start()
  }

  async close(): Promise<void> {
    const old = this.#source
    const http = this.#http
    this.#source = this.#http = undefined
    await old?.close()
    await http?.close()
  }

  metrics(to: Metrics): void {
    to.register(MESOS_FAMILIES, () => this.#readings)
  }

  get #readings(): MesosReadings | undefined {
    return this.#source && { ...this.#source.status, now: performance.now() }
  }

  view(): MesosStatus | undefined {
    const readings = this.#readings
    return readings && mesosView(readings)
  }

  status(): readonly Reason[] {
    const trouble = this.#source?.status.trouble ?? ''
    return trouble === '' ? [] : [{ name: 'Mesos master', detail: trouble }]
  }

  /**
   * Whether this host's own master leads now. Only then does this node defend its zones in the gossip. A node that
   * follows the leader from elsewhere cannot tell that better than another one that does the same.
   */
  get leads(): boolean {
    return this.#asksOwnMaster && (this.#source?.status.hearing ?? false)
  }

  /** ZooKeeper names another leader. */
  leaderChanged(): void {
    this.#source?.leaderChanged()
  }

  /** The list of masters has changed. */
  mastersChanged(): void {
    this.#source?.mastersChanged()
  }
}
