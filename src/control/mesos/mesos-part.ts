/** The names of tasks as a part: follows the leading master and fills the zones made of its state. */
import type { Config } from '../../config/config.ts'
import type { Reason } from '../../boundary/health.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import { masterUrl } from '../../mesos/api/master-url.ts'
import { MesosSource } from '../../mesos/api/source.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { mesosCopy } from './mesos-copy.ts'

export type MesosPartOptions = Environment & {
  /** Addresses of the masters known now. */
  readonly masters: () => string[]
  readonly onZone: (apex: string, change: ZoneChange) => void
}

export class MesosPart implements Part {
  readonly name = 'mesos'
  readonly #options: MesosPartOptions
  #source: MesosSource | undefined

  constructor(options: MesosPartOptions) {
    this.#options = options
  }

  wanted(config: Config): boolean {
    return config.mesos !== undefined
  }

  start({ mesos }: Config): void {
    if (!mesos) return
    const { http, log, random, masters, ownIp, onZone } = this.#options
    this.#source = new MesosSource({
      http,
      log: log.child({ part: 'mesos' }),
      bases: () => [masterUrl(mesos.master, ownIp())],
      masters,
      follow: !mesos.leaderOnly,
      onZone,
      copies: [mesosCopy({ masters })],
      now: () => performance.now(),
      random,
    })
    this.#source.start()
  }

  async close(): Promise<void> {
    const old = this.#source
    this.#source = undefined
    await old?.close()
  }

  status(): readonly Reason[] {
    const trouble = this.#source?.status.trouble ?? ''
    return trouble === '' ? [] : [{ name: 'Mesos master', detail: trouble }]
  }

  /** The list of masters has changed. */
  mastersChanged(): void {
    this.#source?.mastersChanged()
  }
}
