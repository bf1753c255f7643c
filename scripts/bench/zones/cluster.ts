/**
 * Real daemons on loopback that share zones: one follows a scripted Mesos master, the others know the zones of its
 * tasks by gossip only. For the bench, and for a test that all of them end up with the same names.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { bigCluster } from '../../../test/fixture/big-cluster.ts'
import { added, records, subscribed } from '../../../test/fixture/mesos.ts'
import { MesosMaster } from '../mesos-master.ts'
import { bothAnswer } from './asking.ts'

const APEXES = ['dcos.thisdcos.directory', 'mesos.thisdcos.directory'] as const
/** Interval of looks at a node's status: the precision of the times of a join. */
const LOOK_MS = 100
const PATIENCE_MS = 120_000

export type ClusterOptions = {
  /** The compiled program. */
  readonly program: string
  /** An empty folder, which the caller removes. */
  readonly dir: string
  readonly tasks: number
  /** One for each node; the first node follows the master. */
  readonly addresses: readonly string[]
  /** The same for all nodes; the admin server has the next one, and the gossip the one after it. */
  readonly port: number
}

/** Octets since the start of the process. */
export type Octets = { readonly sent: number; readonly received: number }

export class Node {
  readonly address: string
  readonly child: ChildProcess
  readonly startedAt = performance.now()
  /** When its ring was up; NaN before. */
  joinedAt = NaN
  readonly ready: Promise<void>
  readonly #admin: string

  constructor(address: string, port: number, child: ChildProcess) {
    this.address = address
    this.child = child
    this.#admin = `http://${address}:${port + 1}`
    this.ready = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', line => {
        if (line.includes('"msg":"gossip"')) this.joinedAt = performance.now()
        if (line.includes('"msg":"ready"')) resolve()
      })
      child.once('exit', status => reject(new Error(`the daemon at ${address} ended: ${status}`)))
    })
  }

  /** Names in each of the two zones as DNS answers them; undefined before a zone has come. */
  async counts(): Promise<readonly (number | undefined)[]> {
    const { zones } = JSON.parse(await page(`${this.#admin}/v1/status`)) as {
      zones: { apex: string; names: number; loaded: boolean }[]
    }
    return APEXES.map(apex => {
      const zone = zones.find(one => one.apex === apex)
      return zone?.loaded ? zone.names : undefined
    })
  }

  /** All records of both zones, as a number of records and a sum of their hashes, which is equal in any order. */
  async sum(): Promise<string> {
    const all = JSON.parse(await page(`${this.#admin}/v1/records`)) as Record<string, string>[]
    let [count, sum] = [0, 0]
    for (const { name = '', rtype = '', host = '' } of all) {
      if (!APEXES.some(apex => name === apex || name.endsWith(`.${apex}`))) continue
      const text = `${name} ${rtype} ${host}`
      let h = 0x811c9dc5
      for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
      sum += h >>> 0
      count++
    }
    return `${count} records, ${sum}`
  }

  /** Sum of a metric's samples, by one of its labels. */
  async #metric(name: string, label: string): Promise<Map<string, number>> {
    const text = await page(`${this.#admin}/metrics`)
    const found = text.matchAll(
      new RegExp(`^spartan_${name}\\{${label}="([^"]+)"\\} (\\S+)$`, 'gm'),
    )
    return new Map([...found].map(([, value = '', number]) => [value, Number(number)]))
  }

  /** Octets of gossip in packets and over TCP. */
  async octets(): Promise<Octets> {
    const [packets, streams] = [
      await this.#metric('gossip_bytes_total', 'direction'),
      await this.#metric('gossip_stream_bytes_total', 'direction'),
    ]
    const of = (direction: string): number =>
      (packets.get(direction) ?? 0) + (streams.get(direction) ?? 0)
    return { sent: of('out'), received: of('in') }
  }

  /** Octets of both zones in the gossip, of the node that publishes them; 0 before they are published. */
  async published(): Promise<number> {
    const octets = [...(await this.#metric('gossip_zone_bytes', 'zone')).values()]
    return octets.length === APEXES.length && octets.every(n => n > 0)
      ? octets.reduce((a, b) => a + b, 0)
      : 0
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const over = once(this.child, 'exit')
    this.child.kill(signal)
    await over
  }
}

export class ZoneCluster {
  readonly #options: ClusterOptions
  readonly #mesos: MesosMaster
  readonly #nodes: (Node | undefined)[] = []
  #events = 0
  readonly #killed = (): void => this.#nodes.forEach(node => node?.child.kill('SIGKILL'))

  constructor(options: ClusterOptions) {
    this.#options = options
    process.on('exit', this.#killed)
    this.#mesos = new MesosMaster(Buffer.from(records(subscribed(bigCluster(options.tasks)))))
  }

  /** Starts the Mesos master and the node that follows it; returns the octets of both zones in the gossip. */
  async begin(): Promise<number> {
    const port = await this.#mesos.listen()
    const first = this.#start(0, { mesos: { master: `http://127.0.0.1:${port}` } })
    await first.ready
    let octets = 0
    await until('the first node has both zones', async () => {
      octets = await first.published()
      return octets > 0 && (await first.counts()).every(names => (names ?? 0) > this.#options.tasks)
    })
    return octets
  }

  get first(): Node {
    return this.#nodes[0]!
  }

  /** Running agents that know the zones by gossip only. */
  get agents(): readonly Node[] {
    return this.#nodes.slice(1).filter(node => node !== undefined)
  }

  /** Starts the nth agent (from 1) with nothing on disk. */
  join(n: number): Node {
    rmSync(join(this.#options.dir, String(n)), { recursive: true, force: true })
    return this.#start(n, {})
  }

  /** Resolves when an agent answers as many names in both zones as the first node does. */
  async whole(agent: Node): Promise<void> {
    const [wanted] = await Promise.all([this.first.counts(), agent.ready])
    await until(
      `${agent.address} has both zones`,
      async () => (await agent.counts()).join() === wanted.join(),
    )
  }

  async leave(n: number, signal: NodeJS.Signals): Promise<void> {
    await this.#nodes[n]?.stop(signal)
    this.#nodes[n] = undefined
  }

  /**
   * One more task in Mesos; returns when each node answered its names in both zones, in milliseconds after the event.
   * The first node comes first.
   */
  async event(): Promise<readonly number[]> {
    const n = this.#events++
    const name = `probe-${n}`
    const nodes = this.#nodes.filter(node => node !== undefined)
    const at = nodes.map(({ address }) => ({ address, port: this.#options.port }))
    const answered = bothAnswer(
      at,
      [`${name}.marathon.autoip.${APEXES[0]}`, `${name}.marathon.${APEXES[1]}`],
      PATIENCE_MS,
    )
    const ports = ['http', 'admin', 'metrics'].map((port, k) => ({
      number: 30_000 + k,
      name: port,
      protocol: 'tcp',
    }))
    const sentAt = performance.now()
    this.#mesos.send(
      records(
        added({
          ...{ id: `${name}.1`, name, agent: 'A-S0', healthy: true, ports },
          ips: [`9.200.${n >> 8}.${n & 255}`],
          resourcePorts: [[30_000, 30_002]],
        }),
      ),
    )
    return (await answered).map(time => time - sentAt)
  }

  /** Ends all processes. */
  async close(): Promise<void> {
    await Promise.all(this.#nodes.map(node => node?.stop('SIGKILL')))
    process.off('exit', this.#killed)
    this.#mesos.close()
  }

  #start(n: number, more: object): Node {
    const { program, addresses, port } = this.#options
    const address = addresses[n]!
    const dir = join(this.#options.dir, String(n))
    mkdirSync(dir)
    const config = join(dir, 'spartan.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        node: `node-${n}`,
        listen: { addresses: [address], port },
        allow: ['127.0.0.0/8'],
        admin: { listen: `${address}:${port + 1}`, socket: '' },
        gossip: {
          bind: `${address}:${port + 2}`,
          seeds: [`${addresses[0]}:${port + 2}`],
          insecure: true,
        },
        stateDir: join(dir, 'state'),
        ...more,
      }),
    )
    const child = spawn(
      process.execPath,
      ['--single-threaded-gc', program, 'run', '--config', config],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const node = new Node(address, port, child)
    this.#nodes[n] = node
    return node
  }
}

/**
 * The body of a page of an admin server, without keep-alive. Tried three times, if the connection breaks or the status
 * is not 200. This process is the Mesos master, too, and may be so busy that it sends a request too late (408).
 */
const page = async (url: string, tries = 3): Promise<string> => {
  try {
    const request = get(url, { agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    request.on('error', () => {})
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part as Buffer)
    if (response.statusCode !== 200) throw new Error(`${url}: status ${response.statusCode}`)
    return Buffer.concat(parts).toString('utf8')
  } catch (er) {
    if (tries === 1) throw er
    return page(url, tries - 1)
  }
}

const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  const late = performance.now() + PATIENCE_MS
  while (!(await holds())) {
    if (performance.now() > late) throw new Error(`not in ${PATIENCE_MS} ms: ${what}`)
    await sleep(LOOK_MS)
  }
}
