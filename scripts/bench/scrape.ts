/**
 * A thread that disturbs a server under load: it requests /metrics repeatedly, and moves a VIP, which changes a
 * zone.
 */
import { get } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
import { moveVip } from './vips.ts'

/** The thread's start data; `dir` holds the VIPs. */
export type ScrapeStart = {
  readonly url: string
  readonly everyMs: number
  readonly dir: string
}

const { url, everyMs, dir } = workerData as ScrapeStart
let scrapes = 0
let failed = 0
let turn = 0

const scrape = (): void => {
  const request = get(url, response => {
    response.resume()
    response.on('end', () => (response.statusCode === 200 ? scrapes++ : failed++))
  })
  request.on('error', () => failed++)
}
const disturbing = setInterval(() => {
  scrape()
  moveVip(dir, ++turn)
}, everyMs)
parentPort?.on('message', () => {
  clearInterval(disturbing)
  parentPort?.postMessage({ scrapes, failed })
  parentPort?.close()
})
