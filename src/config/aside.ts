/**
 * Reads the configuration in a short-lived worker thread. The YAML and schema libraries take 15 MB, which
 * would otherwise stay in the daemon's memory.
 */
import { Worker } from 'node:worker_threads'
import { built } from '../base/built.ts'
import type { Config, Problem } from './config.ts'
import { fail } from '../base/error.ts'
import { readHost, type Host } from './host.ts'

/** What the thread is asked to read. */
export type Asked = { readonly path: string; readonly host: Host }

/** The thread's only reply. */
export type Said =
  | { readonly config: Config }
  | { readonly message: string; readonly code: string; readonly problems: readonly Problem[] }

/** Starts the thread before it is needed, so that its libraries load while the daemon does other work. */
export const configThread = (): Worker => {
  const worker = new Worker(built('config/aside-thread.js'), { name: 'spartan-config' })
  worker.unref()
  return worker
}

/** Reads the configuration from a file. Rejects with ECONFIG, whose `problems` list all errors in it. */
export const readConfigAside = (path: string, worker = configThread()): Promise<Config> =>
  new Promise((resolve, reject) => {
    const asked: Asked = { path, host: readHost() }
    worker.ref()
    worker.postMessage(asked)
    worker.once('message', (said: Said) => {
      if ('config' in said) resolve(said.config)
      else if (said.code !== 'ECONFIG') reject(new Error(said.message))
      else reject(fail(said.message, 'ECONFIG', { file: path, problems: said.problems }))
    })
    worker.once('error', reject)
    worker.once('exit', () =>
      reject(fail('the thread that reads the configuration ended without a word', 'ESTATE')),
    )
  })
