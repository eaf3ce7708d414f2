package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// journalHeader is the first line of a journal; the number is the format version.
const journalHeader = "berth-journal 1\n"

// A journal is rewritten when it is larger than compactBytes and than four times its live
// records.
const compactBytes = 1 << 20

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// journal keeps a small map of JSON values in one append-only file: a header line, then one
// line per change, "<crc32c in hex> {"k":key,"v":value}"; a line without v removes the key.
//
// set and remove only fill a buffer, so they may be called under a lock, and their order is
// the order in the file. commit writes what is buffered: the first caller writes (and, in a
// durable journal, syncs) for all who wait with it. There is no goroutine. After a failed
// write the next commit rewrites the whole file. A nil journal accepts everything and keeps
// nothing.
type journal struct {
	path    string
	durable bool // fsync at each commit; otherwise the page cache has to do
	log     *slog.Logger

	mu        sync.Mutex // guards all below; never held during I/O
	idle      sync.Cond  // a flush ended
	file      *os.File
	live      map[string][]byte // key -> its line
	liveBytes int
	size      int // of the file
	buf       []byte
	seq       uint64 // last buffered change
	done      uint64 // last change on disk
	failed    uint64 // last change whose flush failed with err
	err       error
	rewrite   bool // the file's end is not known: write all of it
	flushing  bool
	closed    bool
}

type journalRecord struct {
	Key   string          `json:"k"`
	Value json.RawMessage `json:"v,omitempty"`
}

var errJournalClosed = errors.New("journal is closed")

// openJournal reads the journal at path or creates it. A damaged file is copied aside and
// what can be read of it is kept; only a directory that cannot be used is an error.
func openJournal(path string, durable bool, log *slog.Logger) (*journal, error) {
	j := &journal{path: path, durable: durable, log: log, live: map[string][]byte{}}
	j.idle.L = &j.mu
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create directory for %s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if bad := j.load(data); bad > 0 {
		aside := path + ".corrupt-" + strconv.FormatInt(time.Now().UnixNano(), 10)
		log.Error("journal is damaged; it was copied aside and its readable records are used",
			"file", path, "copy", aside, "bad_records", bad, "records", len(j.live))
		if err := os.WriteFile(aside, data, 0o600); err != nil {
			return nil, fmt.Errorf("set damaged %s aside: %w", path, err)
		}
	}
	if err := j.replaceFile(j.image()); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return j, nil
}

// load fills live from a file's content and counts lines that are damaged. A last line
// without its end is what a crash during a write leaves; it was never confirmed to anybody.
func (j *journal) load(data []byte) (bad int) {
	if len(data) == 0 {
		return 0
	}
	body, ok := bytes.CutPrefix(data, []byte(journalHeader))
	if !ok {
		return 1
	}
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n')
		if end < 0 {
			j.log.Warn("journal ends in an unfinished record, which is dropped", "file", j.path)
			return bad
		}
		line := body[:end+1]
		body = body[end+1:]
		rec, ok := parseLine(line)
		switch {
		case !ok:
			bad++
		case rec.Value == nil:
			delete(j.live, rec.Key)
		default:
			j.live[rec.Key] = slices.Clone(line)
		}
	}
	return bad
}

func parseLine(line []byte) (rec journalRecord, ok bool) {
	if len(line) < 10 || line[8] != ' ' {
		return rec, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	body := line[9 : len(line)-1]
	if err != nil || crc32.Checksum(body, crcTable) != uint32(sum) {
		return rec, false
	}
	return rec, json.Unmarshal(body, &rec) == nil && rec.Key != ""
}

func encodeLine(key string, value []byte) ([]byte, error) {
	body, err := json.Marshal(journalRecord{Key: key, Value: value})
	if err != nil {
		return nil, err
	}
	line := make([]byte, 0, len(body)+10)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(body, crcTable))
	line = append(line, body...)
	return append(line, '\n'), nil
}

// entries calls f for every record, in the order of keys.
func (j *journal) entries(f func(key string, value []byte)) {
	if j == nil {
		return
	}
	j.mu.Lock()
	recs := make([]journalRecord, 0, len(j.live))
	for _, line := range j.live {
		if rec, ok := parseLine(line); ok {
			recs = append(recs, rec)
		}
	}
	j.mu.Unlock()
	slices.SortFunc(recs, func(a, b journalRecord) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
	for _, r := range recs {
		f(r.Key, r.Value)
	}
}

// record is a change that is encoded already, so that this need not be done under a lock.
type record struct {
	key  string
	line []byte
}

// encode makes the record of key's new value; a nil journal's is empty.
func (j *journal) encode(key string, value any) (record, error) {
	if j == nil {
		return record{}, nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return record{}, fmt.Errorf("encode %s: %w", key, err)
	}
	line, err := encodeLine(key, b)
	if err != nil {
		return record{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return record{key, line}, nil
}

// put buffers r.
func (j *journal) put(r record) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.liveBytes += len(r.line) - len(j.live[r.key])
	j.live[r.key] = r.line
	j.buf = append(j.buf, r.line...)
	j.seq++
}

// set is encode and put.
func (j *journal) set(key string, value any) error {
	r, err := j.encode(key, value)
	if err == nil {
		j.put(r)
	}
	return err
}

// remove buffers the removal of key; a key that is not there costs nothing.
func (j *journal) remove(key string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	old, ok := j.live[key]
	if !ok {
		return
	}
	line, err := encodeLine(key, nil)
	if err != nil {
		return // a key that was encoded before encodes again
	}
	j.liveBytes -= len(old)
	delete(j.live, key)
	j.buf = append(j.buf, line...)
	j.seq++
}

// commit returns when all that was buffered before the call is on disk, or could not be put
// there. It blocks on the disk.
func (j *journal) commit() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	want := j.seq
	for {
		switch {
		case j.done >= want && !j.rewrite:
			return nil
		case j.closed:
			return errJournalClosed
		case j.flushing:
			j.idle.Wait()
			if j.done < want && j.failed >= want {
				return j.err
			}
		default:
			if err := j.flush(); err != nil {
				return err
			}
		}
	}
}

// flush writes the buffer; mu is held at entry and exit, not during I/O.
func (j *journal) flush() error {
	j.flushing = true
	upto, buf := j.seq, j.buf
	j.buf = nil
	whole := j.rewrite || (j.size+len(buf) > compactBytes && j.size > 4*j.liveBytes)
	var image []byte
	if whole {
		image = j.image()
	}
	j.mu.Unlock()

	var err error
	if whole {
		err = j.replaceFile(image)
	} else {
		err = j.appendFile(buf)
	}

	j.mu.Lock()
	j.flushing = false
	if err != nil {
		j.failed, j.err, j.rewrite = upto, err, true
	} else {
		j.done, j.err, j.rewrite = upto, nil, false
	}
	j.idle.Broadcast()
	return err
}

// image is the whole file with live records only; mu is held.
func (j *journal) image() []byte {
	keys := make([]string, 0, len(j.live))
	total := len(journalHeader)
	for k, line := range j.live {
		keys = append(keys, k)
		total += len(line)
	}
	slices.Sort(keys)
	b := append(make([]byte, 0, total), journalHeader...)
	for _, k := range keys {
		b = append(b, j.live[k]...)
	}
	j.liveBytes = total - len(journalHeader)
	return b
}

// appendFile is called only by the one who flushes.
func (j *journal) appendFile(buf []byte) error {
	if _, err := j.file.Write(buf); err != nil {
		return fmt.Errorf("append to %s: %w", j.path, err)
	}
	j.size += len(buf)
	if !j.durable {
		return nil
	}
	if err := datasync(j.file); err != nil {
		return fmt.Errorf("sync %s: %w", j.path, err)
	}
	return nil
}

// replaceFile puts image in the place of the file: temporary file, fsync, rename, fsync of
// the directory. It is called only by the one who flushes.
func (j *journal) replaceFile(image []byte) error {
	tmp := j.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(image)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.path))
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size = f, len(image)
	return nil
}

// pending says whether a commit has something to do.
func (j *journal) pending() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.buf) > 0 || j.rewrite
}

// close commits, syncs and closes the file.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	err := j.commit()
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.flushing {
		j.idle.Wait()
	}
	if j.closed {
		return nil
	}
	j.closed = true
	return errors.Join(err, j.file.Sync(), j.file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
