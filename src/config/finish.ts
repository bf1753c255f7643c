/**
 * Turns a draft from the schema into the Config that the program uses: every address gets its port, every
 * default is filled in, and the object is deeply frozen.
 */
import type { Endpoint } from '../boundary/messages.ts'
import type { Config } from './config.ts'
import type { Address } from './address.ts'
import { defaultAllow, type Host } from './host.ts'
import { PORTS } from './rules.ts'
import type { Draft } from './schema.ts'

/** The default of `node`: the host name, with characters replaced that a node name cannot contain. */
export const nodeName = (hostname: string): string =>
  hostname
    .replace(/[^A-Za-z0-9.-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 128) || 'localhost'

const full = ({ address, port }: Address, fallback: number): Endpoint => ({
  address,
  port: port ?? fallback,
})
const fullOrNone = (at: Address | '', fallback: number): Endpoint | undefined =>
  at === '' ? undefined : full(at, fallback)

const frozen = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const one of Object.values(value)) frozen(one)
  return Object.freeze(value)
}

/** The Config of a draft on this host. */
export const finish = (draft: Draft, host: Host): Config => {
  const { listen, masters, gossip, vips, admin } = draft
  return frozen<Config>({
    ...draft,
    node: draft.node ?? nodeName(host.hostname),
    listen: { ...listen, addresses: listen.addresses.map(at => full(at, listen.port)) },
    allow: draft.allow ?? defaultAllow(host.networks),
    allowAttached: draft.allow === undefined,
    masters: masters && {
      ...masters,
      addresses: masters.addresses.map(at => full(at, masters.port)),
    },
    gossip: gossip && {
      ...gossip,
      bind: full(gossip.bind, PORTS.gossip),
      advertise: fullOrNone(gossip.advertise, full(gossip.bind, PORTS.gossip).port),
      seeds: gossip.seeds.map(at => full(at, PORTS.gossip)),
      stateDir: gossip.stateDir || draft.stateDir,
    },
    vips: vips && {
      ...vips,
      range: { min: vips.range.min.address, max: vips.range.max.address },
      range6: { min: vips.range6.min.address, max: vips.range6.max.address },
    },
    mesos: draft.mesos,
    admin: { ...admin, listen: fullOrNone(admin.listen, PORTS.admin) },
  })
}
