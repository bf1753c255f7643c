/**
 * The cases of the bench: what is asked, how, and of which servers. The order
 * here is the order of the table.
 */
import type { PacketIO } from '../../src/data/io/packet-io.ts'
import type { Load } from './counts.ts'
import { UdpLoad } from './load.ts'
import { SHORT_TTL, SHORT_ZONE, type Mix, type Questions } from './questions.ts'
import type { Server } from './servers.ts'
import { TcpLoad } from './tcp-load.ts'

/** Where a load goes to, and the client addresses it may use. */
export type Target = {
  readonly address: string
  readonly port: number
  readonly answers: number
  readonly from: readonly string[]
}

export type Case = {
  readonly name: string
  /** For the table. */
  readonly title: string
  readonly mix: Mix
  /** Which servers it is for. */
  readonly takes: (server: Server) => boolean
  readonly open: (io: PacketIO, target: Target, questions: Questions) => Promise<Load>
  /** Measure an upstream without a server in between too. */
  readonly direct?: boolean
  /** Scrape metrics and move a VIP while it runs, where the server has them. */
  readonly disturb?: boolean
  /** Note resident memory at its end. */
  readonly memory?: boolean
}

/** Names that hit lie in the world outside, those that miss with the masters, which race. */
const mix = (names: number, fresh: number): Mix => ({
  names,
  fresh,
  zone: 'bench.example.org',
  freshZone: 'bench.mesos',
})

const udp =
  (load: { window: number; rate: number; sockets: number }): Case['open'] =>
  (io, target, questions) =>
    UdpLoad.open(io, {
      ...target,
      ...load,
      from: Array.from({ length: load.sockets }, (_, i) => target.from[i % target.from.length]!),
      questions,
    })

/**
 * Queries under way in the closed loops: enough to keep any server busy, few
 * enough for the receive buffer that Linux gives to those who do not ask for
 * more (about 160 small datagrams).
 */
const WINDOW = 128
const SOCKETS = 4

const all = (): boolean => true
const resolving = (server: Server): boolean => server.kind !== 'floor'
const racing = (server: Server): boolean => server.races

/** Queries a second of the open loop. */
export const OPEN_RATE = 20_000

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
    // Forwarders have many queries under way on a few sockets, programs have one or two on many.
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
]
