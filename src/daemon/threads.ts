/**
 * The daemon's other threads. They are started before the command line is read, and load their code meanwhile.
 * Neither keeps the process alive before its work begins.
 */
import type { Worker } from 'node:worker_threads'
import { configThread } from '../config/aside.ts'
import { DataThread } from './data-thread-host.ts'

export type Threads = {
  /** Reads the configuration (config/aside.ts). */
  readonly config: Worker
  /** Answers queries. */
  readonly thread: DataThread
}

export const startThreads = (): Threads => ({ config: configThread(), thread: new DataThread() })
