/**
 * The handover: a second process that answers at the same sockets while the daemon restarts, so that nobody waits
 * for the new one. spartan-handover.service starts it before the old daemon ends, and ends it when the new one is
 * ready. It knows what the old one knew a moment before, and writes nothing that a daemon reads.
 */
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { isWildcard } from '../config/address.ts'
import type { Config } from '../config/config.ts'
import type { Parts } from '../control/parts.ts'
import { askDaemon } from '../http/admin-client.ts'
import type { Route } from '../http/route.ts'

/** How long the old daemon may take to write its files. If it takes longer, those that it wrote earlier are used. */
const SAVE_MS: Milliseconds = 2_000

/** The old daemon's side: writes the cache and the records of the gossip now, not only at its end. */
export const saveRoute = (parts: Pick<Parts, 'save'>): Route => ({
  method: 'POST',
  path: '/v1/save',
  handle: async () => {
    await parts.save(SAVE_MS)
    return { json: { saved: true } }
  },
})

/**
 * The configuration of the handover process: nothing is served to operators, and the gossip is open for its records
 * only, at a port that nobody knows. The cache is read where it is; it is never written, as that happens later than
 * a handover may last.
 * @param folder for copies of what the daemon keeps
 */
export const handoverConfig = (config: Config, folder: string): Config => ({
  ...config,
  stateDir: config.stateDir && folder,
  admin: { ...config.admin, listen: undefined, socket: '' },
  dnstap: undefined,
  gossip: config.gossip && {
    ...config.gossip,
    bind: { ...config.gossip.bind, port: 0 },
    advertise: config.gossip.advertise ?? addressOf(config.gossip.bind),
    stateDir: config.gossip.stateDir && folder,
  },
})

/** Undefined for an address that is no particular one; the host's own address then counts. */
const addressOf = (at: Endpoint): Endpoint | undefined => (isWildcard(at.address) ? undefined : at)

/** Where the handover keeps its copies: the unit's runtime directory, which ends with it. Throws without one. */
export const handoverFolder = ({ RUNTIME_DIRECTORY }: NodeJS.ProcessEnv): string => {
  if (RUNTIME_DIRECTORY) return RUNTIME_DIRECTORY
  throw fail('--handover is for spartan-handover.service, which sets RUNTIME_DIRECTORY', 'EUSAGE')
}

/** Has the daemon write what it knows, and copies it. Never rejects: the handover begins with what it gets. */
export const prepareHandover = async (
  config: Config,
  folder: string,
  log: Log,
): Promise<Config> => {
  const { admin, cache, gossip, stateDir } = config
  try {
    const target = { socket: admin.socket, listen: undefined }
    await askDaemon(target, { method: 'POST', path: '/v1/save', deadlineMs: SAVE_MS })
  } catch (er) {
    log.warn('the daemon has not written what it knows; what it wrote before is used', {
      err: messageOf(er),
    })
  }
  for (const from of new Set([stateDir, gossip?.stateDir ?? '']))
    if (from !== '') await copyFiles(from, folder, cache.snapshot, log)
  return handoverConfig(config, folder)
}

/** Copies the files of a folder, except `not`. One that is being written has a name that ends with `.new`. */
const copyFiles = async (from: string, to: string, not: string, log: Log): Promise<void> => {
  try {
    await mkdir(to, { recursive: true })
    for (const entry of await readdir(from, { withFileTypes: true })) {
      const path = join(from, entry.name)
      if (entry.isFile() && path !== not && !path.endsWith('.new'))
        await copyFile(path, join(to, entry.name))
    }
  } catch (er) {
    if (codeOf(er) !== 'ENOENT')
      log.warn('what the daemon keeps cannot be copied', { from, to, err: messageOf(er) })
  }
}
