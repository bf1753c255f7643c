/** The basic HTTP paths of every daemon: metrics, health, status, and the files of the status page. */
import type { Health, Reason } from '../boundary/health.ts'
import type { Metrics } from './metrics.ts'
import type { AdminResponse, Route } from '../http/route.ts'
import { assetRoutes } from './page/assets.ts'
import { PAGE_POLICY, statusPage } from './page/page.ts'
import type { History } from './history.ts'
import type { Status } from './status.ts'

/** The data that these paths show. */
export type OpsSources = {
  readonly metrics: Pick<Metrics, 'scrape'>
  readonly health: () => Promise<Health>
  readonly status: () => Promise<Status>
  readonly history: () => History
}

const verdict = (well: boolean, reasons: readonly Reason[]): AdminResponse =>
  well
    ? { text: 'ok\n' }
    : { status: 503, text: reasons.map(({ name, detail }) => `${name}: ${detail}\n`).join('') }

/** Routes for the admin server's table. */
export const opsRoutes = ({ metrics, health, status, history }: OpsSources): Route[] => [
  {
    method: 'GET',
    path: '/metrics',
    handle: async () => {
      const { text, contentType } = await metrics.scrape()
      return { text, headers: { 'content-type': contentType } }
    },
  },
  {
    method: 'GET',
    path: '/healthz',
    handle: async () => {
      const { live, dead } = await health()
      return verdict(live, dead)
    },
  },
  {
    method: 'GET',
    path: '/readyz',
    handle: async () => {
      const { ready, notReady } = await health()
      return verdict(ready, notReady)
    },
  },
  { method: 'GET', path: '/v1/status', handle: async () => ({ json: await status() }) },
  { method: 'GET', path: '/v1/history', handle: () => ({ json: history() }) },
  ...assetRoutes(),
  {
    method: 'GET',
    path: '/',
    handle: async () => ({
      text: statusPage(await status()),
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': PAGE_POLICY,
      },
    }),
  },
]
