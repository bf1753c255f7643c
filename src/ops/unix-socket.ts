/** Removes the socket file of a daemon that was killed. Files of other kinds and sockets in use are kept. */
import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { fail } from '../base/error.ts'

const errnoOf = (er: unknown): string => (er as NodeJS.ErrnoException).code ?? ''

/** The errno of a connection attempt, '' if it was accepted. */
const tryConnect = (path: string): Promise<string> =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve('')
    })
    socket.once('error', er => resolve(errnoOf(er)))
  })

/** Resolves when `path` is free. Rejects with EBIND if it is not a socket, or if a process still listens on it. */
export const clearStaleSocket = async (path: string): Promise<void> => {
  try {
    const found = await lstat(path)
    if (!found.isSocket())
      throw fail(`${path} exists and is not a socket`, 'EBIND', { errno: 'EEXIST' })
    const errno = await tryConnect(path)
    if (errno !== 'ECONNREFUSED') {
      throw fail(`${path} is in use by another process`, 'EBIND', { errno: errno || 'EADDRINUSE' })
    }
    // Only if it is still the same file.
    if ((await lstat(path)).ino === found.ino) await unlink(path)
  } catch (er) {
    if (errnoOf(er) !== 'ENOENT') throw er
  }
}
