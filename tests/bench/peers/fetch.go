// SPDX-License-Identifier: Apache-2.0

// fetch CONNECTIONS URL-FILE RESULTS [CA-FILE]: the peer that is written in Go, with what its
// standard library has.  One goroutine reads the list into a bounded channel, CONNECTIONS of
// them fetch, one writes a JSON object a line for each URL.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const capacity = 1024 // of the channels, as penstock's queue has about

type result struct {
	URL     string  `json:"url"`
	Status  int     `json:"status"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func newClient(connections int, caFile string) *http.Client {
	transport := &http.Transport{
		MaxIdleConns:          0, // no limit
		MaxIdleConnsPerHost:   connections,
		DisableCompression:    true,
		ResponseHeaderTimeout: 30 * time.Second, // Client.Timeout costs a goroutine a request
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		check(err)
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			check(errors.New(caFile + ": no certificate"))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}
}

func fetch(client *http.Client, url string) (r result) {
	start := time.Now()
	r.URL = url
	response, err := client.Get(url)
	if err == nil {
		r.Status = response.StatusCode
		r.Bytes, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if err != nil {
		r.Error = err.Error()
	}
	r.Seconds = time.Since(start).Seconds()
	return r
}

func read(path string, urls chan<- string) {
	file, err := os.Open(path)
	check(err)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		urls <- lines.Text()
	}
	check(lines.Err())
	close(urls)
}

// Writes all results; how many were failures.
func write(path string, results <-chan result) (failed int) {
	file, err := os.Create(path)
	check(err)
	out := bufio.NewWriterSize(file, 1<<16)
	encoder := json.NewEncoder(out)
	for r := range results {
		if r.Status != http.StatusOK || r.Error != "" {
			failed++
		}
		check(encoder.Encode(&r))
	}
	check(out.Flush())
	check(file.Close())
	return failed
}

func main() {
	if len(os.Args) != 4 && len(os.Args) != 5 {
		log.Fatal("usage: fetch CONNECTIONS URL-FILE RESULTS [CA-FILE]")
	}
	connections, err := strconv.Atoi(os.Args[1])
	check(err)
	client := newClient(connections, append(os.Args, "")[4])
	urls := make(chan string, capacity)
	results := make(chan result, capacity)

	var fetchers sync.WaitGroup
	for i := 0; i < connections; i++ {
		fetchers.Add(1)
		go func() {
			defer fetchers.Done()
			for url := range urls {
				results <- fetch(client, url)
			}
		}()
	}
	go read(os.Args[2], urls)
	go func() {
		fetchers.Wait()
		close(results)
	}()
	if write(os.Args[3], results) > 0 {
		os.Exit(1)
	}
}
