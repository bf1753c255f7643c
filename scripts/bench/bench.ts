/**
 * `npm run bench`: measures spartan, the floor and the installed C servers under the same load. For each case all
 * servers are started once and warmed; then they are measured in turn, run after run, so that other load on the
 * machine affects all of them equally.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fail, messageOf } from '../../src/base/error.ts'
import { CASES } from './cases.ts'
import type { Case, Target } from './cases.ts'
import { goingFirst, measure } from './measure.ts'
import type { Measured } from './measure.ts'
import { Ground } from './place.ts'
import { Questions } from './questions.ts'
import { pauses, together } from './pauses.ts'
import { markdownReport, textReport, writeBetweenMarkers } from './report.ts'
import type { Row, Start } from './report.ts'
import { Running } from './running.ts'
import { servers } from './servers.ts'
import type { Server } from './servers.ts'
import { Disturbance, Upstreams } from './threads.ts'
import { residentBytes } from './usage.ts'
import { writeVips } from './vips.ts'

/** Options that are missing get defaults. */
export type BenchOptions = {
  /** Names of cases and of servers; empty for all. */
  readonly cases?: readonly string[]
  readonly servers?: readonly string[]
  /** Duration of each measurement. Default 2. */
  readonly seconds?: number
  /** Default 5, because a median of fewer runs is not stable. */
  readonly runs?: number
  /** Time under load before each server's first measurement. Default 1,000. */
  readonly settleMs?: number
  /** The `main.js` of another build, which is measured together with this one as 'before'. */
  readonly against?: string
  /** Writes the table into scripts/bench/README.md below the current folder, between its markers. */
  readonly write?: boolean
  readonly json?: boolean
  /** Receives the report; progress goes to standard error. */
  readonly out?: (text: string) => void
  readonly progress?: (text: string) => void
}

const MASTERS = 3
const FIRST_MASTER = 101
const FIRST_CLIENT = 201
const CLIENTS = 8
/** TTL of answers, so long that they do not expire during a case. */
const TTL = 3_600
/** Wait before each later measurement, for queues and clocks to settle. */
const RESETTLE_MS = 200
const DISTURB_EVERY_MS = 1_000

/** Runs the bench. Returns an exit status: 0 done, 1 if a server gave a wrong answer or did not start. */
export const bench = async (options: BenchOptions): Promise<number> => {
  const { out = text => void process.stdout.write(text) } = options
  const { progress = text => void process.stderr.write(`${text}\n`) } = options
  const cases = chosen('case', CASES, options.cases)
  const all = chosen('server', servers(options.against), options.servers)
  const ground = new Ground()
  const rows: Row[] = []
  const ready = new Map<string, number[]>()
  let trouble = 0
  const looked = (options.seconds ?? 2) * 1_000
  const before = await goingFirst(() => pauses(looked))
  try {
    const masters = Array.from({ length: MASTERS }, (_, i) => ground.address(FIRST_MASTER + i))
    const upstreams = await Upstreams.start(masters, TTL)
    try {
      const session = new Session(ground, upstreams, options, progress)
      for (const one of cases) {
        progress(`${one.name}: ${one.title}`)
        const done = await session.run(one, all.filter(one.takes))
        rows.push(...done.rows)
        trouble += done.failed
        for (const { server, readyMs } of done.starts) {
          ready.set(server, [...(ready.get(server) ?? []), readyMs])
        }
      }
    } finally {
      await upstreams.close()
    }
  } finally {
    ground.close()
  }
  const machine = together(before, await goingFirst(() => pauses(looked)))
  const starts: Start[] = [...ready].map(([server, readyMs]) => ({ server, readyMs }))
  out(
    options.json
      ? `${JSON.stringify({ rows, starts, machine }, null, 2)}\n`
      : textReport(rows, starts, machine),
  )
  if (options.write) {
    const command = [
      'npm run bench --',
      ...said('cases', options.cases),
      ...said('servers', options.servers),
    ]
    writeBetweenMarkers(
      resolve('scripts/bench/README.md'),
      markdownReport(rows, starts, machine, command.join(' '), new Date()),
    )
  }
  const wrong = rows.some(row => row.runs.some(run => run.wrong > 0))
  return wrong || trouble > 0 ? 1 : 0
}

const said = (name: string, values: readonly string[] = []): string[] =>
  values.length > 0 ? [`--${name} ${values.join(',')}`] : []

/** The items with these names or of these groups. Throws EUSAGE for an unknown name. */
const chosen = <T extends { readonly name: string; readonly group?: string }>(
  kind: string,
  known: readonly T[],
  names: readonly string[] = [],
): readonly T[] => {
  for (const name of names) {
    if (!known.some(one => one.name === name || one.group === name)) {
      const list = known.map(one => one.name).join(', ')
      throw fail(`no ${kind} '${name}' here; there are: ${list}`, 'EUSAGE')
    }
  }
  return names.length > 0
    ? known.filter(one => names.includes(one.name) || names.includes(one.group ?? ''))
    : known
}

type Done = {
  readonly rows: readonly Row[]
  readonly starts: readonly { server: string; readyMs: number }[]
  readonly failed: number
}

/** State shared by all cases of a run. */
class Session {
  readonly #ground: Ground
  readonly #upstreams: Upstreams
  readonly #options: BenchOptions
  readonly #progress: (text: string) => void
  readonly #from: readonly string[]

  constructor(
    ground: Ground,
    upstreams: Upstreams,
    options: BenchOptions,
    progress: (text: string) => void,
  ) {
    this.#ground = ground
    this.#upstreams = upstreams
    this.#options = options
    this.#progress = progress
    this.#from = Array.from({ length: CLIENTS }, (_, i) => ground.address(FIRST_CLIENT + i))
  }

  async run(one: Case, list: readonly Server[]): Promise<Done> {
    const { runs = 5 } = this.#options
    const running: Running[] = []
    /** Not measured: a ring has two nodes at least, because one that is alone goes on looking for others. */
    const beside: Running[] = []
    const results = new Map<string, Measured[]>()
    const memory = new Map<string, { before: number; after: number }>()
    let failed = 0
    try {
      for (const [i, server] of list.entries()) {
        try {
          running.push(await this.#start(one, server, i + 1))
        } catch (er) {
          failed++
          this.#progress(messageOf(er))
        }
      }
      if (one.allParts && list.length === 1) beside.push(await this.#start(one, list[0]!, 2))
      for (let run = 0; run < runs; run++) {
        if (one.direct) note(results, 'direct', await this.#direct(one))
        for (const server of [...running]) {
          try {
            const { name } = server.server
            const before = memory.get(name)?.before ?? residentBytes(server.pid)
            note(results, name, await this.#measure(one, server, run === 0))
            if (one.memory) memory.set(name, { before, after: residentBytes(server.pid) })
          } catch (er) {
            failed++
            this.#progress(`${server.server.name}: ${messageOf(er)}`)
            running.splice(running.indexOf(server), 1)
            await server.stop()
          }
        }
      }
    } finally {
      await Promise.all([...running, ...beside].map(server => server.stop()))
    }
    const rows = [...results].map(([server, runs]) => {
      const { before, after } = memory.get(server) ?? { before: NaN, after: NaN }
      return {
        case: one.name,
        title: one.title,
        server,
        version: list.find(({ name }) => name === server)?.version ?? '',
        runs,
        residentBytes: after,
        grownBytes: after - before,
        late: one.late ?? false,
      }
    })
    const ours = running.filter(({ server }) => server.kind === 'ours')
    const starts = ours.map(({ server, readyMs }) => ({ server: server.name, readyMs }))
    return { rows, starts, failed }
  }

  #start(one: Case, server: Server, n: number): Promise<Running> {
    const dir = join(this.#ground.dir, `${one.name}-${n}`)
    mkdirSync(dir)
    const place = {
      dir,
      address: server.address || this.#ground.address(n),
      port: this.#ground.port,
      adminPort: this.#ground.port + 1,
      upstreams: this.#upstreams.endpoints,
      vipFiles: (one.disturb || one.allParts) && server.kind === 'ours' ? writeVips(dir) : [],
      ring: one.allParts ? [1, 2].map(peer => this.#ground.address(peer)) : [],
    }
    return Running.start(server, place, this.#ground)
  }

  async #measure(one: Case, { server, place, pid }: Running, first: boolean): Promise<Measured> {
    const disturbed = one.disturb && server.kind === 'ours'
    const disturbance = disturbed
      ? new Disturbance({
          url: `http://${place.address}:${place.adminPort}/metrics`,
          everyMs: DISTURB_EVERY_MS,
          dir: place.dir,
        })
      : undefined
    try {
      return await this.#load(
        one,
        { ...place, answers: server.answers, from: this.#from },
        pid,
        first,
      )
    } finally {
      const counts = await disturbance?.close()
      if (counts && counts.failed > 0) this.#progress(`${counts.failed} scrapes failed`)
    }
  }

  /** Measures the first upstream directly, without a server in between. */
  #direct(one: Case): Promise<Measured> {
    const target = { ...this.#upstreams.endpoints[0]!, answers: 1, from: this.#from }
    return this.#load(one, target, 0, false)
  }

  #load(one: Case, target: Target, pid: number, first: boolean): Promise<Measured> {
    const { seconds = one.seconds ?? 2, settleMs = one.settleMs ?? 1_000 } = this.#options
    return measure(io => one.open(io, target, new Questions(one.mix)), {
      pid,
      warm: first && one.mix.fresh < 1,
      usual: one.spins ?? false,
      around: one.around ?? false,
      settleMs: first ? settleMs : Math.min(settleMs, RESETTLE_MS),
      seconds,
    })
  }
}

const note = (results: Map<string, Measured[]>, server: string, measured: Measured): void => {
  results.set(server, [...(results.get(server) ?? []), measured])
}
