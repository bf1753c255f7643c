/** The cases of the bench: what is asked, how, and of which servers. The table has the same order. */
import type { PacketIO } from '../../src/data/io/packet-io.ts'
import { Flood, withBeside } from './beside.ts'
import { noCounts, type Load } from './counts.ts'
import { Histogram } from './histogram.ts'
import { UdpLoad } from './load.ts'
import { Questions, SHORT_TTL, SHORT_ZONE, SLOW_MS, SLOW_ZONE, type Mix } from './questions.ts'
import type { Server } from './servers.ts'
import { TcpLoad } from './tcp-load.ts'

/** The destination of a load, and the client addresses it may use. */
export type Target = {
  readonly address: string
  readonly port: number
  readonly answers: number
  readonly from: readonly string[]
}

export type Case = {
  readonly name: string
  /** Selects it together with others. */
  readonly group?: string
  /** Title in the table. */
  readonly title: string
  readonly mix: Mix
  /** Which servers the case applies to. */
  readonly takes: (server: Server) => boolean
  readonly open: (io: PacketIO, target: Target, questions: Questions) => Promise<Load>
  /** Also measures an upstream without a server in between. */
  readonly direct?: boolean
  /** During the case, metrics are scraped and a VIP is moved, where the server supports that. */
  readonly disturb?: boolean
  /** Duration of each measurement unless the options say one. */
  readonly seconds?: number
  /** Time under load before the first one, unless the options say one. Default: a second. */
  readonly settleMs?: number
  /** Our own servers have all parts: masters, gossip with each other, and VIPs. */
  readonly allParts?: boolean
  /** The load never sleeps. */
  readonly spins?: boolean
  /** It is also measured without the client beside it, before and after. */
  readonly around?: boolean
  /** Note resident memory at its end, and by how much it has grown. */
  readonly memory?: boolean
  /** The share of answers that waited for an upstream is what it is about. */
  readonly late?: boolean
}

/** Names that hit are external; those that miss belong to the masters, which are raced. */
const mix = (names: number, fresh: number): Mix => ({
  names,
  fresh,
  zone: 'bench.example.org',
  freshZone: 'bench.mesos',
})

const udp =
  (load: { window: number; rate: number; sockets: number; even?: boolean }): Case['open'] =>
  (io, target, questions) =>
    UdpLoad.open(io, {
      ...target,
      ...load,
      from: Array.from({ length: load.sockets }, (_, i) => target.from[i % target.from.length]!),
      questions,
    })

/**
 * Queries under way in the closed loops: enough to keep any server busy, and few enough for Linux's default receive
 * buffer (about 160 small datagrams).
 */
const WINDOW = 128
const SOCKETS = 4

const all = (): boolean => true
const resolving = (server: Server): boolean => server.kind !== 'floor'
const racing = (server: Server): boolean => server.races

/** Queries per second of the open loop. */
export const OPEN_RATE = 20_000
/** Queries a second of a client beside which another one misbehaves. */
const HONEST_RATE = 1_000
const CRAFTED_RATE = 20_000

/** One client at HONEST_RATE, beside another client's flood; `rate` as in FloodPlan. */
const honestBeside =
  (flood: Mix, rate?: number): Case['open'] =>
  async (io, target, questions) =>
    withBeside(
      await udp({ window: 0, rate: HONEST_RATE, sockets: 1 })(io, target, questions),
      await Flood.open(io, {
        ...target,
        from: target.from.at(-1)!,
        questions: new Questions(flood),
        ...(rate && { rate }),
      }),
    )

/** Names that a hash might put into one place, and as many ordinary ones to compare with. */
const CRAFTS: readonly {
  name: string
  says: string
  craft?: readonly [number, number]
  zone?: string
}[] = [
  { name: 'hashplain', says: 'ordinary names' },
  {
    name: 'hashflood',
    says: 'names of 0x31 and 0x11, which differ as small letters do from capitals',
    craft: [0x31, 0x11],
  },
  {
    name: 'hashflood2',
    says: 'names of 0xE1 and 0xC1, which Latin-1 takes for letters',
    craft: [0xe1, 0xc1],
  },
  {
    name: 'hashflood3',
    says: 'names of 0x31 and 0x11 below test, for which no upstream is needed',
    craft: [0x31, 0x11],
    zone: 'test',
  },
]

/** Asks nothing. */
class Silence implements Load {
  readonly counts = noCounts()
  readonly latency = new Histogram()
  readonly warmed = true
  readonly open = 0
  readonly note = ''
  warm(): void {}
  clear(): void {}
  stop(): void {}
  close(): void {}
  turn(): number {
    return Infinity
  }
}

const IDLE_SECONDS = 20
/** A daemon that has just started is not quiet: V8 compiles what is used often, and returns memory after 10 s. */
const REST_MS = 30_000
/**
 * The same with all parts: the heap is larger, and V8 collects it 40 to 50 s after the start. That happens once and takes
 * 170 ms of CPU time, so it does not belong to the cost of an idle daemon.
 */
const ALL_PARTS_REST_MS = 75_000
const RATES = [100, 1_000, 5_000, 20_000]

/** What a server costs that is asked little. */
const QUIET: readonly Case[] = [
  {
    name: 'rates-idle',
    group: 'rates',
    title: 'nothing is asked',
    mix: mix(1, 0),
    takes: resolving,
    open: async () => new Silence(),
    seconds: IDLE_SECONDS,
    settleMs: REST_MS,
    memory: true,
  },
  ...RATES.flatMap(rate =>
    [0, 0.05].map((fresh): Case => ({
      name: `rates-${rate}${fresh > 0 ? '-miss' : ''}`,
      group: 'rates',
      title: `${rate.toLocaleString('en')} queries a second, evenly, ${fresh > 0 ? '5 % miss' : 'cached'}`,
      mix: mix(1_000, fresh),
      takes: resolving,
      open: udp({ window: 0, rate, sockets: 1, even: true }),
      settleMs: REST_MS,
      spins: true,
    })),
  ),
  {
    name: 'idle',
    title: 'nothing is asked; masters, gossip with each other, VIPs by files',
    mix: mix(1, 0),
    takes: server => server.kind === 'ours',
    open: async () => new Silence(),
    seconds: IDLE_SECONDS,
    settleMs: ALL_PARTS_REST_MS,
    allParts: true,
    memory: true,
  },
]

export const CASES: readonly Case[] = [
  {
    name: 'hit',
    title: 'cached, 1,000 names',
    mix: mix(1_000, 0),
    takes: all,
    open: udp({ window: WINDOW, rate: 0, sockets: SOCKETS }),
  },
  {
    name: 'hit50k',
    title: 'cached, 50,000 names',
    mix: mix(50_000, 0),
    takes: all,
    open: udp({ window: WINDOW, rate: 0, sockets: SOCKETS }),
    memory: true,
  },
  {
    // A forwarder has many queries under way on a few sockets; programs have one or two on many sockets.
    name: 'apart',
    title: 'cached, 1,000 names, every query under way from a socket of its own',
    mix: mix(1_000, 0),
    takes: all,
    open: udp({ window: WINDOW, rate: 0, sockets: WINDOW }),
  },
  {
    name: 'miss',
    title: 'miss, three upstreams raced',
    mix: mix(1, 1),
    takes: racing,
    open: udp({ window: WINDOW, rate: 0, sockets: SOCKETS }),
  },
  {
    name: 'mixed',
    title: '95 % cached, 5 % miss',
    mix: mix(1_000, 0.05),
    takes: resolving,
    open: udp({ window: WINDOW, rate: 0, sockets: SOCKETS }),
  },
  {
    name: 'tcp',
    title: 'cached, over TCP, 10 connections, 32 queries under way on each',
    mix: mix(1_000, 0),
    takes: all,
    open: (_io, { address, port, answers }, questions) =>
      TcpLoad.open({ address, port, answers, questions, connections: 10, pipeline: 32 }),
  },
  {
    name: 'open',
    title: `${OPEN_RATE.toLocaleString('en')} queries a second, 1 % miss, TTL ${SHORT_TTL} s; every second ours is scraped and one of 5,000 VIPs moves`,
    mix: { ...mix(1_000, 0.01), zone: SHORT_ZONE },
    takes: all,
    open: udp({ window: 0, rate: OPEN_RATE, sockets: SOCKETS }),
    disturb: true,
  },
  {
    name: 'latency',
    title: 'miss, three upstreams raced, one query at a time',
    mix: mix(1, 1),
    takes: racing,
    open: udp({ window: 1, rate: 0, sockets: 1 }),
    direct: true,
  },
  {
    name: 'flood',
    title: `${HONEST_RATE.toLocaleString('en')} queries a second, 5 % miss, while another client asks for new names at three times what is answered`,
    mix: { ...mix(1_000, 0.05), freshZone: 'bench.example.org' },
    takes: resolving,
    open: honestBeside({ ...mix(1, 1), freshZone: 'bench.example.org' }),
    memory: true,
  },
  ...CRAFTS.map(({ name, says, ...names }): Case => ({
    name,
    title: `cached, 1,000 names, while another client asks for 200,000 ${says}`,
    mix: mix(1_000, 0),
    takes: resolving,
    open: honestBeside({ ...mix(200_000, 0), ...names }, CRAFTED_RATE),
    around: true,
  })),
  {
    name: 'prefetch',
    title: `1,000 names with TTL ${SHORT_TTL} s at 2,000 queries a second, the upstream ${SLOW_MS} ms away`,
    mix: { ...mix(1_000, 0), zone: SLOW_ZONE },
    takes: resolving,
    open: udp({ window: 0, rate: 2_000, sockets: SOCKETS }),
    late: true,
  },
  ...QUIET,
]
