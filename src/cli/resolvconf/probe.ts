/**
 * Checks over DNS whether an address may be written to resolv.conf, and whether the forwarder has working upstreams.
 */
import type { Endpoint } from '../../boundary/messages.ts'
import type { Config, Upstream } from '../../config/config.ts'
import { TYPE } from '../../wire/codes.ts'
import { ancount, rcode } from '../../wire/header.ts'
import { ask, queryWire } from '../dns-client.ts'
import { daemon, type ConfigOption } from '../options.ts'

/** The name that exists as soon as the daemon answers, with the type that DC/OS watchdogs ask for. */
const READY = { name: 'ready.spartan', qtype: TYPE.ANY }

const NOERROR = 0
const NXDOMAIN = 3

/** Why an address must not be in resolv.conf, or ''. `timeout` in milliseconds, for each transport. */
export const probe = async (
  to: Endpoint,
  timeout: number,
  signal: AbortSignal,
): Promise<string> => {
  for (const tcp of [false, true]) {
    const wire = queryWire(READY.name, READY)!
    // Two attempts share the time, so that one lost datagram is not a failure.
    const reply = await ask(wire, {
      server: to,
      timeout: tcp ? timeout : timeout / 2,
      attempts: 2,
      tcp,
      signal,
    })
    const over = tcp ? 'over TCP' : 'over UDP'
    if ('silence' in reply) return `${over}: ${reply.silence}`
    if (rcode(reply.wire) !== NOERROR || ancount(reply.wire) === 0)
      return `${over}: ${READY.name} has no answer there`
  }
  return ''
}

/** A question that only an upstream can answer: the root for external resolvers, the leader for the masters. */
const evidence = (config: Config | undefined): { name: string; qtype: number } | undefined => {
  if (!config || config.upstreams.length) return { name: '.', qtype: TYPE.NS }
  return config.masters ? { name: 'leader.mesos', qtype: TYPE.A } : undefined
}

/**
 * Why this host would lose names if it used the forwarder now, or ''. A forwarder without any upstream only has its
 * own names, which is acceptable.
 */
export const upstreamTrouble = async (
  via: Endpoint,
  config: Config | undefined,
  timeout: number,
  signal: AbortSignal,
): Promise<string> => {
  const question = evidence(config)
  if (!question) return ''
  const wire = queryWire(question.name, question)!
  const reply = await ask(wire, { server: via, timeout: timeout / 2, attempts: 2, signal })
  if ('silence' in reply) return `${question.name}: ${reply.silence}`
  const code = rcode(reply.wire)
  return code === NOERROR || code === NXDOMAIN ? '' : `${question.name} has no answer yet`
}

/**
 * Whether the running daemon ever had a reply from an external upstream. Some resolvers work but refuse questions
 * about the root.
 */
export const answeredBefore = async (
  options: ConfigOption,
  config: Config | undefined,
): Promise<boolean> => {
  type Answer = { upstreams?: readonly { name?: string; srttMs?: number }[] }
  const ours = new Set(config?.upstreams.map(hostOf))
  try {
    const { json } = await daemon(options, { path: '/v1/status', deadlineMs: 2000 })
    return ((json as Answer).upstreams ?? []).some(
      ({ name = '', srttMs = 0 }) =>
        srttMs > 0 && [...ours].some(host => host !== '' && name.includes(host)),
    )
  } catch {
    // A daemon that does not answer proves nothing.
    return false
  }
}

/** The address or URL of an upstream, as in the status. */
const hostOf = (upstream: Upstream): string => ('url' in upstream ? upstream.url : upstream.address)
