/** The worker thread of aside.ts: reads one configuration and ends. */
import { parentPort } from 'node:worker_threads'
import { problemsOf } from './config.ts'
import { codeOf, messageOf } from '../base/error.ts'
import type { Asked, Said } from './aside.ts'
import { loadConfigFile } from './load.ts'

const read = ({ path, host }: Asked): Said => {
  try {
    return { config: loadConfigFile(path, host).config }
  } catch (er) {
    return { message: messageOf(er), code: codeOf(er), problems: problemsOf(er) }
  }
}

parentPort?.once('message', (asked: Asked) => parentPort?.postMessage(read(asked)))
