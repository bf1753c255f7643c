/**
 * `spartan check --deep`: sends one request to every server in the configuration, and prints which answered and how
 * fast. No request changes anything.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Endpoint } from '../boundary/messages.ts'
import { messageOf } from '../base/error.ts'
import { showEndpoint, showUpstream, type Config, type Upstream } from '../config/config.ts'
import { silent } from '../base/log.ts'
import { hostPort } from '../base/ip.ts'
import { ownAddress } from '../control/host/own-address.ts'
import { zkDigest } from '../control/masters/zk-watch.ts'
import { mesosHttp, mesosTls, speaksTls } from '../control/mesos/mesos-http.ts'
import { agentBases } from '../control/vips/agent-place.ts'
import { Https } from '../data/upstream/https.ts'
import { masterUrl } from '../mesos/api/master-url.ts'
import { isMasterNode } from '../mesos/zookeeper/masters.ts'
import { ZkSession } from '../mesos/zookeeper/session.ts'
import { parseZkUrl } from '../mesos/zookeeper/wire.ts'
import { plainQuery } from '../wire/question.ts'
import { nameWire } from '../wire/name.ts'
import { RCODE, TYPE } from '../wire/codes.ts'
import { HEADER } from '../wire/header.ts'
import { answers, ask } from './dns-client.ts'

/** One server: the key that names it, its address, and the result. */
export type Asked = {
  readonly key: string
  readonly who: string
  readonly ok: boolean
  /** The time it took, or why there is no answer. */
  readonly detail: string
}

const PATIENCE_MS = 2_000

const query = (name: string, type: number): Buffer => {
  const wire = Buffer.from(plainQuery(nameWire(name)!, type))
  wire.writeUInt16BE(Math.trunc(Math.random() * 65_536), 0)
  return wire
}

/** Every resolver knows the name servers of the root; every Mesos-DNS knows the leader. */
const ROOT = (): Buffer => query('.', TYPE.NS)
const LEADER = (): Buffer => query('leader.mesos', TYPE.A)

const timed = async (work: () => Promise<void>): Promise<{ ok: boolean; detail: string }> => {
  const from = performance.now()
  try {
    await work()
    return { ok: true, detail: `answered in ${Math.round(performance.now() - from)} ms` }
  } catch (er) {
    return { ok: false, detail: messageOf(er) }
  }
}

/** SERVFAIL and REFUSED are answers, but do not help a client. */
const judge = (wire: Uint8Array): void => {
  const rcode = wire[3]! & 0x0f
  if (rcode === RCODE.SERVFAIL) throw new Error('answers SERVFAIL')
  if (rcode === RCODE.REFUSED) throw new Error('answers REFUSED: it does not serve this host')
}

const overUdp = async (wire: Buffer, server: Endpoint): Promise<void> => {
  const reply = await ask(wire, { server, timeout: PATIENCE_MS, attempts: 1 })
  if ('silence' in reply) throw new Error(reply.silence)
  judge(reply.wire)
}

const overStream = (wire: Buffer, socket: Socket): Promise<void> =>
  new Promise((resolve, reject) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(wire.length)
    let got = Buffer.alloc(0)
    const end = (er?: Error): void => {
      socket.destroy()
      if (er) reject(er)
      else resolve()
    }
    socket.setTimeout(PATIENCE_MS, () => end(new Error(`no answer within ${PATIENCE_MS / 1000} s`)))
    // Written as soon as the connection, with its handshake, is there.
    socket.write(Buffer.concat([length, wire]))
    socket.on('error', end)
    socket.once('close', () => end(new Error('closed the connection')))
    socket.on('data', part => {
      got = Buffer.concat([got, part])
      if (got.length < 2 + HEADER || got.length < 2 + got.readUInt16BE(0)) return
      const response = got.subarray(2)
      if (!answers(wire, response)) return end(new Error('answers something else'))
      try {
        judge(response)
        end()
      } catch (er) {
        end(er as Error)
      }
    })
  })

const overHttps = async (wire: Buffer, url: string): Promise<void> => {
  const https = new Https()
  try {
    const { body } = await https.ask(url, wire, AbortSignal.timeout(PATIENCE_MS))
    if (body.length < HEADER) throw new Error('answers something else')
    judge(body)
  } finally {
    await https.close()
  }
}

const askUpstream = (upstream: Upstream): Promise<void> => {
  if (upstream.protocol === 'https') return overHttps(ROOT(), upstream.url)
  if (upstream.protocol === 'udp') return overUdp(ROOT(), upstream)
  const at = { host: upstream.address, port: upstream.port }
  const name = upstream.protocol === 'tls' && upstream.serverName
  if (upstream.protocol === 'tcp') return overStream(ROOT(), connect(at))
  return overStream(ROOT(), connectTls({ ...at, ...(name ? { servername: name } : {}) }))
}

/** Resolves if a connection to this place succeeds. */
const connects = (
  to: { readonly host: string; readonly port: number } | { readonly path: string },
): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(to)
    const end = (er?: Error): void => {
      socket.destroy()
      if (er) reject(er)
      else resolve()
    }
    socket.setTimeout(PATIENCE_MS, () => end(new Error(`no answer within ${PATIENCE_MS / 1000} s`)))
    socket.once('connect', () => end())
    socket.once('error', end)
  })

/** One exchange with the certificates and credentials of the section `mesos`; its status must be 200. */
const reads = async ({ mesos }: Config, url: string, body?: object): Promise<void> => {
  const http = mesosHttp(mesos, silent)
  const call = { maxBytes: 1024 * 1024, signal: AbortSignal.timeout(PATIENCE_MS) }
  try {
    if (body) await http.postBody(url, body, call)
    else await http.getBody(url, call)
  } finally {
    await http.close()
  }
}

/** The first of these that answers; rejects with what the first said. */
const oneOf = async (config: Config, bases: readonly string[], type: string): Promise<void> => {
  const tries = await Promise.allSettled(
    bases.map(base => reads(config, `${base}/api/v1`, { type })),
  )
  if (tries.some(({ status }) => status === 'fulfilled')) return
  throw (tries[0] as PromiseRejectedResult | undefined)?.reason ?? new Error('has no address')
}

/** A session with one server, which must know at least one master. */
const zooKeeper = async (
  { masters, mesos }: Config,
  server: { readonly host: string; readonly port: number },
): Promise<void> => {
  const target = parseZkUrl(masters?.zk ?? '')
  const session = new ZkSession({
    ...server,
    credentials: zkDigest(masters?.zkDigest ?? '', silent)(),
    ...(target?.secure ? { tls: mesosTls(mesos, silent)() } : {}),
    timeoutMs: PATIENCE_MS,
    onChange: () => {},
    onEnd: () => {},
  })
  try {
    await session.open()
    const nodes = (await session.children(target?.path ?? '/')) ?? []
    if (!nodes.some(isMasterNode)) throw new Error(`names no master below ${target?.path}`)
  } finally {
    session.close()
  }
}

/** Sends all requests at once; never rejects. */
export const askEverybody = (config: Config): Promise<Asked[]> => {
  const { masters, mesos, vips, upstreams, forwardZones, gossip, dnstap } = config
  const tls = speaksTls(mesos)
  const wanted: [key: string, who: string, work: () => Promise<void>][] = [
    ...(masters?.addresses ?? []).map((at): [string, string, () => Promise<void>] => [
      'masters.addresses',
      showEndpoint(at),
      () => overUdp(LEADER(), at),
    ]),
    ...(['url', 'exhibitor'] as const).flatMap((key): typeof wanted =>
      masters?.[key]
        ? [
            [
              `masters.${key}`,
              masters[key],
              () =>
                reads(
                  config,
                  key === 'url'
                    ? masters.url
                    : `${masters.exhibitor.replace(/\/$/, '')}/exhibitor/v1/cluster/status`,
                ),
            ],
          ]
        : [],
    ),
    ...(parseZkUrl(masters?.zk ?? '')?.servers ?? []).map((at): (typeof wanted)[number] => [
      'masters.zk',
      hostPort(at.host, at.port),
      () => zooKeeper(config, at),
    ]),
    ...(mesos?.master && mesos.master !== 'zk' ? [mesos.master] : []).map(
      (said): (typeof wanted)[number] => {
        const base = masterUrl(said, ownAddress(), tls ? 'https' : 'http')
        return ['mesos.master', base, () => oneOf(config, [base], 'GET_MASTER')]
      },
    ),
    ...(vips?.agent ? [agentBases(vips.agent, ownAddress(), tls)] : []).map(
      (bases): (typeof wanted)[number] => [
        'vips.agent',
        bases[0] ?? '',
        () => oneOf(config, bases, 'GET_AGENT'),
      ],
    ),
    ...upstreams.map((u): (typeof wanted)[number] => [
      'upstreams',
      showUpstream(u),
      () => askUpstream(u),
    ]),
    ...Object.entries(forwardZones).flatMap(([zone, all]) =>
      all.map((u): (typeof wanted)[number] => [
        `forwardZones.${zone}`,
        showUpstream(u),
        () => askUpstream(u),
      ]),
    ),
    ...(gossip?.seeds ?? []).map((at): (typeof wanted)[number] => [
      'gossip.seeds',
      showEndpoint(at),
      () => connects({ host: at.address, port: at.port }),
    ]),
    ...(dnstap ? [dnstap.socket] : []).map((path): (typeof wanted)[number] => [
      'dnstap.socket',
      path,
      () => connects({ path }),
    ]),
  ]
  return Promise.all(wanted.map(async ([key, who, work]) => ({ key, who, ...(await timed(work)) })))
}
