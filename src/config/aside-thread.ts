/** The thread of aside.ts: reads one configuration and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { problemsOf } from '../config.ts'
import { codeOf, messageOf } from '../error.ts'
import type { Asked, Said } from './aside.ts'
import { loadConfigFile } from './load.ts'

const { path, host } = workerData as Asked

const read = (): Said => {
  try {
    return { config: loadConfigFile(path, host).config }
  } catch (er) {
    return { message: messageOf(er), code: codeOf(er), problems: problemsOf(er) }
  }
}

parentPort?.postMessage(read())
