/**
 * Takes away the socket file that a killed daemon left behind, and nothing
 * else: not a file of another kind, and not the socket of a daemon that lives.
 */
import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { fail } from '../base/error.ts'

const errnoOf = (er: unknown): string => (er as NodeJS.ErrnoException).code ?? ''

/** The errno of a connection attempt, '' when somebody accepted. */
const tryConnect = (path: string): Promise<string> =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve('')
    })
    socket.once('error', er => resolve(errnoOf(er)))
  })

/**
 * Resolves when `path` is free to bind. Rejects with EBIND when it is no
 * socket or when a process still accepts on it.
 */
export const clearStaleSocket = async (path: string): Promise<void> => {
  try {
    const found = await lstat(path)
    if (!found.isSocket())
      throw fail(`${path} exists and is not a socket`, 'EBIND', { errno: 'EEXIST' })
    const errno = await tryConnect(path)
    if (errno !== 'ECONNREFUSED') {
      throw fail(`${path} is in use by another process`, 'EBIND', { errno: errno || 'EADDRINUSE' })
    }
    // The one looked at, not one put there since.
    if ((await lstat(path)).ino === found.ino) await unlink(path)
  } catch (er) {
    if (errnoOf(er) !== 'ENOENT') throw er
  }
}
