//go:build linux

package main

import (
	"bytes"
	"errors"
	"strconv"
)

var (
	endOfHeader = []byte("\r\n\r\n")
	lengthName  = []byte("\r\nContent-Length: ")
	chunkedName = []byte("\r\nTransfer-Encoding: chunked")
)

// parseAnswer looks at as much of an answer as has come. It reads no more of HTTP than the
// servers that are measured write.
func parseAnswer(b []byte) (status int, done bool, err error) {
	end := bytes.Index(b, endOfHeader)
	if end < 0 {
		return 0, false, nil
	}
	header, body := b[:end+2], b[end+len(endOfHeader):]
	if len(header) < 12 {
		return 0, false, errors.New("not an HTTP answer")
	}
	if status, err = strconv.Atoi(string(header[9:12])); err != nil {
		return 0, false, errors.New("not an HTTP answer")
	}
	if bytes.Contains(header, chunkedName) {
		done, err = lastChunk(body)
		return status, done, err
	}
	at := bytes.Index(header, lengthName)
	if at < 0 {
		return 0, false, errors.New("an answer without its length")
	}
	length := 0
	for _, d := range header[at+len(lengthName):] {
		if d == '\r' {
			break
		}
		length = length*10 + int(d-'0')
	}
	return status, len(body) >= length, nil
}

// lastChunk tells whether a chunked body has come to its end.
func lastChunk(b []byte) (bool, error) {
	for {
		line := bytes.IndexByte(b, '\n')
		if line < 1 {
			return false, nil
		}
		size, err := strconv.ParseUint(string(b[:line-1]), 16, 31)
		if err != nil {
			return false, errors.New("a chunk without its size")
		}
		next := line + 1 + int(size) + 2
		if len(b) < next {
			return false, nil
		}
		if size == 0 {
			return true, nil
		}
		b = b[next:]
	}
}
