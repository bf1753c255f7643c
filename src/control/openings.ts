/**
 * Checks everything that the daemon would open: keyring, folders, files of VIPs and of masters. `spartan check` uses
 * the readers of the parts themselves, so that an operator sees before the start what would make a part fail.
 */
import { access, constants, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../base/error.ts'
import type { Config } from '../config/config.ts'
import { loadKeyring } from '../gossip/keyring.ts'
import { filesAt, readText } from './feeds/watch.ts'
import { mastersOf } from './masters/list.ts'

/** Something that cannot be opened: the key that names it, and the reason as a sentence. */
export type Obstacle = { readonly key: string; readonly message: string }

const MOST_BYTES = 4 * 1024 * 1024
const VIP_ENDINGS = ['.yaml', '.yml', '.json']

/**
 * Everything that cannot be opened, in the order of the keys. It opens files for reading only, and creates nothing.
 */
export const obstacles = async (config: Config): Promise<Obstacle[]> => {
  const found: Obstacle[] = []
  const attempt = async (key: string, work: () => unknown): Promise<void> => {
    try {
      await work()
    } catch (er) {
      found.push({ key, message: messageOf(er) })
    }
  }
  const { masters, cache, gossip, vips, stateDir } = config
  if (masters?.source === 'file')
    await attempt('masters.file', async () =>
      mastersOf(JSON.parse(await readText(masters.file, MOST_BYTES)) as unknown, masters.port),
    )
  if (cache.snapshot !== '')
    await attempt('cache.snapshot', async () => {
      await writableFolder(dirname(cache.snapshot))
      await plainFileOrNone(cache.snapshot)
    })
  if (gossip && gossip.keyring !== '')
    await attempt('gossip.keyring', () => loadKeyring(gossip.keyring))
  if (gossip && gossip.stateDir !== '' && gossip.stateDir !== stateDir)
    await attempt('gossip.stateDir', () => writableFolder(gossip.stateDir))
  for (const path of vips?.files ?? [])
    await attempt('vips.files', async () => {
      for (const file of await filesAt(path, VIP_ENDINGS))
        await attempt('vips.files', () => vipFile(file))
    })
  if (stateDir !== '') await attempt('stateDir', () => writableFolder(stateDir))
  return found
}

const vipFile = async (path: string): Promise<void> => {
  const { parseVipFile } = await import('../vip/files.ts')
  const parsed = parseVipFile(await readText(path, MOST_BYTES))
  if ('records' in parsed) return
  const { line, column, why } = parsed.problem
  throw new Error(`${path}:${line}:${column}: ${why}`)
}

/** Checks the folder, or the nearest existing one above it. Throws if it is not writable. */
const writableFolder = async (path: string): Promise<void> => {
  try {
    if (!(await stat(path)).isDirectory()) throw new Error(`${path} is no folder`)
  } catch (er) {
    if (codeOf(er) !== 'ENOENT' || dirname(path) === path) throw er
    return writableFolder(dirname(path))
  }
  await access(path, constants.W_OK | constants.X_OK)
}

const plainFileOrNone = async (path: string): Promise<void> => {
  try {
    if (!(await stat(path)).isFile()) throw new Error(`${path} is no plain file`)
    await access(path, constants.R_OK)
  } catch (er) {
    if (codeOf(er) !== 'ENOENT') throw er
  }
}
