/**
 * The parts of a task's JSON that `/state` and the operator API have in common. Fields that no reader uses are left
 * out.
 */
import type { World, WorldStatus, WorldTask } from './world.ts'

/** An object of JSON. */
export type Json = Readonly<Record<string, unknown>>

/** The version that the demo's Mesos reports. */
export const VERSION = '1.11.0'

/** An id in the operator API's form. */
export const value = (id: string): Json => ({ value: id })

const networkInfo = ({ app, addresses, hostPorts }: WorldTask): Json => ({
  ip_addresses: addresses.map(ip => ({
    protocol: ip.includes(':') ? 'IPv6' : 'IPv4',
    ip_address: ip,
  })),
  ...(app.network === 'overlay' ? { name: 'dcos' } : {}),
  ...(app.network === 'bridge'
    ? {
        name: 'mesos-bridge',
        port_mappings: app.ports.map((port, i) => ({
          host_port: hostPorts[i],
          container_port: port.number,
          protocol: port.protocol,
        })),
      }
    : {}),
})

/** One status update. As in Mesos, it has addresses only while the task runs. */
export const status = (task: WorldTask, { state, timestamp, healthy }: WorldStatus): Json => ({
  state,
  timestamp,
  ...(healthy === undefined ? {} : { healthy }),
  container_status: {
    container_id: value(`container-${task.id.slice(-12)}`),
    network_infos: state === 'TASK_RUNNING' ? [networkInfo(task)] : [],
  },
})

/** DiscoveryInfo with VIP labels; nothing for an app without it. */
export const discovery = ({ app, hostPorts }: WorldTask): Json => {
  if (!app.discovery) return {}
  const ports = app.ports.map(({ name, number, protocol, vip }, i) => {
    const labels = [
      ...(vip === '' ? [] : [{ key: 'VIP_0', value: vip }]),
      { key: 'network-scope', value: app.network === 'host' ? 'host' : 'container' },
    ]
    return {
      number: app.network === 'host' ? hostPorts[i] : number,
      name,
      protocol,
      labels: { labels },
    }
  })
  return { discovery: { visibility: 'FRAMEWORK', name: app.name, ports: { ports } } }
}

/** The container, with the fields that readers use. */
export const container = ({ app }: WorldTask): Json => ({
  container: {
    type: 'MESOS',
    ...(app.network === 'host' ? {} : { network_infos: [{ name: 'dcos' }] }),
  },
})

/** A health check, if the app has one. */
export const health = ({ app }: WorldTask): Json =>
  app.healthCheck ? { health_check: { type: 'TCP', tcp: { port: app.ports[0]?.number ?? 0 } } } : {}

/** Id of the framework a task belongs to. */
export const frameworkOf = (world: World, task: WorldTask): string =>
  world.frameworks.find(({ name }) => name === task.app.framework)?.id ?? ''
