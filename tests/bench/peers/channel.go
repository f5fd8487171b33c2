// SPDX-License-Identifier: Apache-2.0

// channel PRODUCERS CONSUMERS CAPACITY ITEMS
//
// What bench_queue measures, done with a buffered channel: pointers to jobs that were made
// beforehand go through it one by one.  Prints items a second and voluntary context switches
// per 1,000 items.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type job struct {
	origin string
	bytes  uint64
	rest   [17]uint64 // as large as a struct job
}

func usage() {
	fmt.Fprintln(os.Stderr, "Usage: channel PRODUCERS CONSUMERS CAPACITY ITEMS")
	os.Exit(64)
}

func switches() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Nvcsw
}

func produce(channel chan<- *job, ring []job, items int) {
	for i, at := 0, 0; i < items; i++ {
		channel <- &ring[at]
		if at++; at == len(ring) {
			at = 0
		}
	}
}

func consume(channel <-chan *job) int {
	items := 0
	for range channel {
		items++
	}
	return items
}

func main() {
	if len(os.Args) != 5 {
		usage()
	}
	var n [4]int
	for i := range n {
		value, err := strconv.Atoi(os.Args[i+1])
		if err != nil || value < 1 {
			usage()
		}
		n[i] = value
	}
	producers, consumers, capacity, items := n[0], n[1], n[2], n[3]

	channel := make(chan *job, capacity)
	start := make(chan struct{})
	var producing, consuming sync.WaitGroup
	got := make([]int, consumers)
	for i := 0; i < producers; i++ {
		share := items / producers
		if i < items%producers {
			share++
		}
		ring := make([]job, capacity+1)
		producing.Add(1)
		go func() {
			defer producing.Done()
			<-start
			produce(channel, ring, share)
		}()
	}
	for i := 0; i < consumers; i++ {
		i := i
		consuming.Add(1)
		go func() {
			defer consuming.Done()
			<-start
			got[i] = consume(channel)
		}()
	}

	before, switched := time.Now(), switches()
	close(start)
	producing.Wait()
	close(channel)
	consuming.Wait()
	seconds := time.Since(before).Seconds()
	total := 0
	for _, items := range got {
		total += items
	}
	if total != items {
		panic("items were lost")
	}
	fmt.Printf("%.0f %.2f\n", float64(items)/seconds, float64(switches()-switched)*1000/float64(items))
}
