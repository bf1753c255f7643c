/**
 * The masters in ZooKeeper: a list of hosts for the forwarder, and the leader for the parts that follow Mesos. A
 * master that disappears stays in the list of hosts for a while: masters are restarted more often than replaced, and
 * a changed list would invalidate cached answers.
 */
import { fail } from '../../base/error.ts'
import { canonicalIp, hostPort } from '../../base/ip.ts'
import type { Log } from '../../base/log.ts'
import type { TlsOptions } from '../../http/call.ts'
import { SecretFile } from '../../http/secret-file.ts'
import { pidEndpoint } from '../../mesos/api/model.ts'
import type { MasterList } from '../../mesos/master-list.ts'
import { ZkMasters } from '../../mesos/zookeeper/masters.ts'

/** How long a master that left ZooKeeper is still asked. */
const STAYS_MS = 10 * 60_000

export type ZkWatchOptions = {
  readonly masters: MasterList
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Called when ZooKeeper names another leader. */
  readonly onLeader: () => void
  readonly staysMs?: number
}

export class ZkWatch {
  readonly #options: ZkWatchOptions
  /** When each host was last in ZooKeeper; Infinity while it is there. */
  readonly #seen = new Map<string, number>()

  constructor(options: ZkWatchOptions) {
    this.#options = options
  }

  /** 'host:port' of the leading master; '' if ZooKeeper names none. */
  get leader(): string {
    return this.#options.masters.leader
  }

  /** 'host:port' of each master in ZooKeeper, leader first. */
  get list(): readonly string[] {
    return this.#options.masters.list
  }

  /** Hosts without ports, including those that left lately. */
  get hosts(): readonly string[] {
    const { now, staysMs = STAYS_MS } = this.#options
    for (const [host, at] of this.#seen) if (now() - at > staysMs) this.#seen.delete(host)
    return [...this.#seen.keys()]
  }

  /** `onList` is called at every change of the list. */
  start(onList: () => void): void {
    const { masters, onLeader } = this.#options
    masters.onChange = leaderChanged => {
      this.#follow()
      onList()
      if (leaderChanged) onLeader()
    }
    masters.start()
  }

  async close(): Promise<void> {
    await this.#options.masters.close()
  }

  #follow(): void {
    // a master known only by name cannot be an upstream
    const present = new Set(this.list.map(hostOf).filter(host => canonicalIp(host) !== ''))
    const now = this.#options.now()
    for (const host of present) this.#seen.set(host, Infinity)
    for (const [host, at] of this.#seen)
      if (!present.has(host) && at === Infinity) this.#seen.set(host, now)
  }
}

export type ZkMastersFrom = {
  /** zk://… or zks://… */
  readonly url: string
  /** File with user:password; '' for none. */
  readonly digestFile: string
  readonly tls: () => TlsOptions
  readonly log: Log
  readonly random: () => number
}

/** Without a leader for longer than this, an error is logged. */
const DETECTION_MS = 30_000

/** The masters in ZooKeeper, with the digest from its file. */
export const zkMasters = (from: ZkMastersFrom): MasterList => {
  const { url, digestFile, tls, log, random } = from
  const digest = zkDigest(digestFile, log)
  return new ZkMasters({ url, digest, fallback: [], detectionMs: DETECTION_MS, tls, log, random })
}

/** Reads 'user:password' of a file; '' without one. What it returns throws EDATA or the system's error. */
export const zkDigest = (path: string, log: Log): (() => string) => {
  if (path === '') return () => ''
  const key = 'masters.zkDigest'
  const file = new SecretFile({ path, key, parse: parseDigest, secret: true, log })
  return () => file.get()
}

/** Parses 'user:password' on one line. Throws EDATA. */
const parseDigest = (text: string): string => {
  const line = text.trim()
  if (!/^[^:\n]+:[^\n]*$/.test(line)) throw fail('must hold user:password on one line', 'EDATA')
  return line
}

const hostOf = (master: string): string => pidEndpoint(master)?.host ?? master

/** Base URL of a master, '' for ''. */
export const masterBase = (master: string, scheme: string): string => {
  const at = pidEndpoint(master)
  return at === undefined ? '' : `${scheme}://${hostPort(at.host, at.port)}`
}
