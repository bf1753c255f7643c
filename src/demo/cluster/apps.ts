/**
 * The apps of the demo's cluster: realistic names, each network mode, ports with and without names, VIPs, and a
 * framework without DiscoveryInfo.
 */
import type { App, AppPort, Network } from './world.ts'

const port = (
  name: string,
  number: number,
  vip = '',
  protocol: 'tcp' | 'udp' = 'tcp',
): AppPort => ({
  name,
  number,
  protocol,
  vip,
})

const app = (
  name: string,
  network: Network,
  ports: readonly AppPort[],
  more: Partial<App> = {},
): App => ({
  name,
  framework: 'marathon',
  network,
  ports,
  discovery: true,
  healthCheck: false,
  ...more,
})

/** Overlay network, both families, health checked, with a VIP. */
export const WEB = app('web', 'overlay', [port('http', 8080, '/web:80')], { healthCheck: true })
/** Bridge network with port mappings, a dotted name, and a UDP port. */
export const API = app(
  'api.shop',
  'bridge',
  [port('http', 8080, '/api.shop:8080'), port('metrics', 8125, '', 'udp')],
  { healthCheck: true },
)
/** Host network. */
export const REDIS = app('redis', 'host', [port('redis', 6379, '/redis:6379')])
/** Starts and stops during the demo, and its VIP with it. */
export const CANARY = app('canary', 'overlay', [port('http', 8080, '/canary:80')])
/** Without DiscoveryInfo: only its port resources have SRV records. */
export const WORKER = app('worker', 'host', [port('', 0)], { discovery: false })
/** A batch job without ports. */
export const REPORT = app('nightly-report', 'host', [], { framework: 'chronos', discovery: false })
/** Three apps that share one VIP. */
export const BROKERS: readonly App[] = [0, 1, 2].map(n =>
  app(`kafka-${n}-broker`, 'host', [port('broker', 9092, 'broker:9092')], { framework: 'kafka' }),
)

/** Names of the schedulers. */
export const FRAMEWORKS = ['marathon', 'kafka', 'chronos'] as const
