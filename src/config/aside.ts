/**
 * Reads the configuration in a thread that ends when it is read: the YAML and
 * schema libraries take 15 MB that the daemon would keep for life, and need
 * once per reload.
 */
import { Worker } from 'node:worker_threads'
import { built } from '../base/built.ts'
import type { Config, Problem } from './config.ts'
import { fail } from '../base/error.ts'
import { readHost, type Host } from './host.ts'

/** What the thread is given. */
export type Asked = { readonly path: string; readonly host: Host }

/** What it says, once. */
export type Said =
  | { readonly config: Config }
  | { readonly message: string; readonly code: string; readonly problems: readonly Problem[] }

/** Starts the thread. It loads its code and waits to be asked, which it need not be. */
export const configThread = (): Worker => {
  const worker = new Worker(built('config/aside-thread.js'), { name: 'spartan-config' })
  worker.unref()
  return worker
}

/** The configuration in a file, on this host. Rejects with ECONFIG, `problems` being all that is wrong with it. */
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
