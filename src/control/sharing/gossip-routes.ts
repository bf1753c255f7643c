/** Admin routes for the ring: its members, and its keys (over the Unix socket only). */
import type { Route } from '../../http/route.ts'
import { keyOf } from '../../gossip/keyring.ts'
import type { Gossip } from '../../gossip/service.ts'

const NO_GOSSIP = {
  status: 404,
  json: { error: 'this node does not gossip: its configuration has no gossip section' },
} as const

export const gossipRoutes = (gossip: () => Gossip | undefined): Route[] => [
  {
    method: 'GET',
    path: '/v1/members',
    handle: () => {
      const ring = gossip()
      if (!ring) return NO_GOSSIP
      return {
        json: ring.members().map(({ name, address, port, state, tags }) => ({
          name,
          address: `${address}:${port}`,
          state,
          role: tags['role'] ?? '',
          version: tags['version'] ?? '',
        })),
      }
    },
  },
  {
    method: 'POST',
    path: '/v1/keys/list',
    handle: async () => {
      const ring = gossip()
      return ring ? { json: await ring.ring.keys.list() } : NO_GOSSIP
    },
  },
  ...(['install', 'use', 'remove'] as const).map((operation): Route => ({
    method: 'POST',
    path: `/v1/keys/${operation}`,
    handle: async ({ body }) => {
      const ring = gossip()
      const key = (body as { key?: unknown } | undefined)?.key
      if (!ring) return NO_GOSSIP
      if (typeof key !== 'string' || !keyOf(key)) {
        return { status: 400, json: { error: 'a key is 16, 24 or 32 octets in base64' } }
      }
      return { json: await ring.ring.keys[operation](key) }
    },
  })),
]
