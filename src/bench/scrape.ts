/**
 * What an operator's world does to a server under load, in a thread of its
 * own: GET /metrics again and again, and SIGHUP, which makes a new snapshot.
 */
import { get } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

/** What the thread is given; `pid` gets the SIGHUPs. */
export type ScrapeStart = {
  readonly url: string
  readonly everyMs: number
  readonly pid: number
  readonly reloadEveryMs: number
}

const { url, everyMs, pid, reloadEveryMs } = workerData as ScrapeStart
let scrapes = 0
let failed = 0

const scrape = (): void => {
  const request = get(url, response => {
    response.resume()
    response.on('end', () => (response.statusCode === 200 ? scrapes++ : failed++))
  })
  request.on('error', () => failed++)
}
const scraping = setInterval(scrape, everyMs)
const reloading = setInterval(() => process.kill(pid, 'SIGHUP'), reloadEveryMs)
parentPort?.on('message', () => {
  clearInterval(scraping)
  clearInterval(reloading)
  parentPort?.postMessage({ scrapes, failed })
  parentPort?.close()
})
