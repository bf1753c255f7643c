/** The entry point of the data thread: connects a data plane with a message port. */
import { parentPort } from 'node:worker_threads'
import type { Begin, DataThreadStart, Down, Up } from '../boundary/messages.ts'
import { DataPlane, type DataPlaneContext } from './plane.ts'
import { codeOf, fail } from '../base/error.ts'
import { loadLibc } from './io/libc.ts'
import { goFirst } from './priority.ts'
import { Https } from './upstream/https.ts'

const port = parentPort
if (!port) throw fail('the data thread is started by the daemon', 'EUSAGE')

/** Loaded while the main thread still reads the configuration. If that fails, whoever uses it says why. */
const libc = loadLibc()
libc.catch(() => {})

const https = new Https()
/** Exchanges over HTTPS under way: undici has timers of Node meanwhile. */
let overHttps = 0
const context: DataPlaneContext = {
  post: (message: Up, transfer = []) => {
    port.postMessage(message, transfer)
    if (message.type === 'drained') {
      void https.close()
      port.close()
    }
  },
  overHttps: async (url, question, signal) => {
    overHttps++
    try {
      return await https.ask(url, question, signal)
    } finally {
      overHttps--
    }
  },
  othersHaveTimers: () => overHttps > 0,
  libc: () => libc,
}

let plane: DataPlane | undefined
/** Messages that arrived while the plane was being created. */
const early: Down[] = []

const begin = async (start: DataThreadStart): Promise<void> => {
  plane = await DataPlane.create(start, context)
  // Catches what any callback throws: sockets, streams, promises, timers, messages. An error before this point ends
  // the thread, and with it the daemon, which logs the reason.
  process.on('uncaughtException', er => {
    plane?.bugs.take(er)
    if (codeOf(er) === 'EFATAL') process.exit(1)
  })
  for (const message of early.splice(0)) plane.handle(message)
  goFirst()
}

// The code above is loaded while the main thread still reads the configuration.
port.on('message', (message: Begin | Down) => {
  if (message.type === 'begin') void begin(message.start)
  else if (plane) plane.handle(message)
  else early.push(message)
})
