/**
 * Addresses, ports and configuration files of everything in the demo. It uses rare loopback addresses and
 * unprivileged ports; all settings are passed in files as an operator would write them.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Endpoint } from '../boundary/messages.ts'

export const DNS_PORT = 5300
const MESOS_DNS_PORT = 61053
const MESOS_PORT = 5050
const AGENT_PORT = 5051
const GOSSIP_PORT = 7946
const ADMIN_PORT = 62080
const HTTP_PORT = 8123
const MASTERS = 3
export const AGENTS = 3

export type AgentLayout = {
  readonly name: string
  /** The three addresses that clients ask. */
  readonly listen: readonly string[]
  readonly config: string
  readonly admin: Endpoint
  readonly socket: string
}

export type Layout = {
  readonly folder: string
  readonly port: number
  readonly masters: readonly {
    readonly name: string
    readonly address: string
    readonly config: string
  }[]
  readonly mesos: readonly Endpoint[]
  /** Mesos agents: one for each of our agents, including the spare one. */
  readonly mesosAgents: readonly Endpoint[]
  readonly resolver: Endpoint
  readonly agents: readonly AgentLayout[]
  /** An agent that is configured but not started; the user may start it. */
  readonly spare: AgentLayout
}

/** `offset` shifts all addresses, so that two demos can run at once. */
export const layOut = (offset = 0): Layout => {
  const net = `127.${53 + offset}`
  const folder = join(tmpdir(), offset === 0 ? 'spartan-demo' : `spartan-demo-${offset}`)
  const masters = Array.from({ length: MASTERS }, (_, i) => ({
    name: `master-${i + 1}`,
    address: `${net}.0.${i + 1}`,
    config: join(folder, `master-${i + 1}.json`),
  }))
  const agent = (n: number): AgentLayout => ({
    name: `agent-${n}`,
    listen: [1, 2, 3].map(i => `${net}.${n}.${i}`),
    config: join(folder, `agent-${n}.yaml`),
    admin:
      n === 1 && offset === 0
        ? { address: '127.0.0.1', port: ADMIN_PORT }
        : { address: `${net}.${n}.1`, port: ADMIN_PORT },
    socket: join(folder, `agent-${n}.sock`),
  })
  const agents = Array.from({ length: AGENTS }, (_, i) => agent(i + 1))
  const spare = agent(AGENTS + 1)
  return {
    folder,
    port: DNS_PORT,
    masters,
    mesos: masters.map(m => ({ address: m.address, port: MESOS_PORT })),
    mesosAgents: [...agents, spare].map(a => ({ address: a.listen[0]!, port: AGENT_PORT })),
    resolver: { address: `${net}.0.53`, port: DNS_PORT },
    agents,
    spare,
  }
}

/** Writes every configuration file; files of an earlier demo are removed. */
export const writeFiles = (layout: Layout): void => {
  const { folder, masters, mesos, resolver, agents, spare } = layout
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const keyring = join(folder, 'keyring.json')
  writeFileSync(keyring, `${JSON.stringify([randomBytes(32).toString('base64')])}\n`, {
    mode: 0o600,
  })
  for (const { address, config } of masters) {
    writeFileSync(config, `${JSON.stringify(mesosDnsConfig(address, mesos, resolver), null, 2)}\n`)
  }
  for (const agent of [...agents, spare]) {
    writeFileSync(agent.config, stringify(agentConfig(layout, agent, keyring)))
  }
}

const mesosDnsConfig = (address: string, mesos: readonly Endpoint[], resolver: Endpoint) => ({
  zk: '',
  masters: mesos.map(m => `${m.address}:${m.port}`),
  refreshSeconds: 2,
  ttl: 60,
  domain: 'mesos',
  port: MESOS_DNS_PORT,
  listener: address,
  resolvers: [`${resolver.address}:${resolver.port}`],
  httpListener: address,
  httpPort: HTTP_PORT,
  IPSources: ['netinfo', 'mesos', 'host'],
})

const agentConfig = (
  layout: Layout,
  { name, listen, admin, socket }: AgentLayout,
  keyring: string,
) => ({
  node: name,
  listen: { addresses: listen, port: layout.port },
  masters: {
    source: 'static',
    addresses: layout.masters.map(m => m.address),
    port: MESOS_DNS_PORT,
  },
  upstreams: [`${layout.resolver.address}:${layout.resolver.port}`],
  gossip: {
    bind: `${listen[0]}:${GOSSIP_PORT}`,
    seeds: layout.agents
      .map(a => `${a.listen[0]}:${GOSSIP_PORT}`)
      .filter(seed => seed !== `${listen[0]}:${GOSSIP_PORT}`),
    keyring,
  },
  vips: { agent: `http://${listen[0]}:${AGENT_PORT}` },
  // In a real cluster the nodes on the masters do this; here the first agent does.
  ...(name === 'agent-1'
    ? { mesos: { master: `http://${layout.mesos[0]!.address}:${MESOS_PORT}`, leaderOnly: false } }
    : {}),
  admin: { listen: `${admin.address}:${admin.port}`, socket },
})
