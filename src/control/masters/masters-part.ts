/** The list of masters as a part. */
import type { Log } from '../../base/log.ts'
import type { Endpoint } from '../../boundary/messages.ts'
import type { Config } from '../../config/config.ts'
import type { Http } from '../../http/client.ts'
import type { MastersStatus } from '../../ops/status.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { mesosHttp, mesosTls } from '../mesos/mesos-http.ts'
import { sameMasters } from './list.ts'
import { Masters } from './masters.ts'
import { masterSource } from './sources.ts'
import { zkMasters, ZkWatch } from './zk-watch.ts'

export type MastersPartOptions = Environment & {
  /** Called when the list has changed. */
  readonly onChange: (masters: readonly Endpoint[]) => void
  /** Called when ZooKeeper names another leader of Mesos. */
  readonly onLeader: () => void
}

export class MastersPart implements Part {
  readonly name = 'masters'
  readonly #options: MastersPartOptions
  #from: NonNullable<Config['masters']> | undefined
  #masters: Masters | undefined
  #http: Http | undefined
  #zooKeeper: ZkWatch | undefined
  /** The current list. It is kept over a reload, so that a change of source never passes through an empty list. */
  #list: readonly Endpoint[] = []
  #at = 0

  constructor(options: MastersPartOptions) {
    this.#options = options
  }

  /** The current list, [] if none is known. */
  get list(): readonly Endpoint[] {
    return this.#list
  }

  /** The masters of Mesos in ZooKeeper; undefined unless ZooKeeper is the source of the list. */
  get zooKeeper(): ZkWatch | undefined {
    return this.#zooKeeper
  }

  wanted(config: Config): boolean {
    return config.masters !== undefined
  }

  start(config: Config): void {
    const { masters, mesos, stateDir } = config
    if (!masters) return
    const { random, resolve } = this.#options
    const log = this.#options.log.child({ part: 'masters' })
    const http = mesosHttp(mesos, log, this.#options.logins)
    const zk = this.#watchZooKeeper(config, log)
    this.#from = masters
    this.#http = http
    this.#zooKeeper = zk
    const current = new Masters({
      from: masterSource(masters),
      zk,
      refreshMs: masters.refresh,
      retryMs: masters.retry,
      random,
      stateDir,
      log,
      http,
      resolve,
      onChange: list => {
        if (this.#masters === current) this.#use(list)
      },
    })
    this.#masters = current
    // A list in the configuration needs no reading.
    if (masters.source === 'static') this.#use(masters.addresses)
    // Not awaited, because the first read may wait long for a lost host.
    void current.start()
  }

  #watchZooKeeper({ masters, mesos }: Config, log: Log): ZkWatch | undefined {
    if (masters?.source !== 'zk') return undefined
    const { random, onLeader } = this.#options
    const tls = mesosTls(mesos, log)
    const watch: ZkWatch = new ZkWatch({
      masters: zkMasters({ url: masters.zk, digestFile: masters.zkDigest, tls, log, random }),
      now: () => performance.now(),
      onLeader: () => {
        if (this.#zooKeeper === watch) onLeader()
      },
    })
    return watch
  }

  #use(list: readonly Endpoint[]): void {
    this.#at = Date.now()
    if (sameMasters(list, this.#list)) return
    this.#list = list
    this.#options.onChange(list)
  }

  async reload(_before: Config, after: Config): Promise<void> {
    const old = this.#masters
    const http = this.#http
    this.start(after)
    await old?.close()
    await http?.close()
  }

  async close(): Promise<void> {
    const old = this.#masters
    const http = this.#http
    this.#masters = this.#http = this.#zooKeeper = undefined
    this.#from = undefined
    this.#list = []
    await old?.close()
    await http?.close()
  }

  /** The masters for the status; undefined if this cluster has none. */
  view(): MastersStatus | undefined {
    const from = this.#from
    const status = this.#masters?.status
    if (!from || !status) return undefined
    const { source } = from
    return {
      source,
      from: source === 'static' ? '' : source === 'dns' ? from.name : from[source],
      list: this.#list,
      at: this.#at,
      error: status.trouble,
      kept: status.origin === 'disk',
    }
  }
}
