package httpapi

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hostInfo is what /v1/agent/host tells about the machine.
type hostInfo struct {
	Memory         *hostMemory
	CPU            []hostCPU
	Host           *hostSystem
	Disk           *hostDisk
	CollectionTime int64 // nanoseconds since 1970
	Errors         []string
}

type hostMemory struct {
	Total       uint64  `json:"total"`
	Available   uint64  `json:"available"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	Free        uint64  `json:"free"`
	Buffers     uint64  `json:"buffers"`
	Cached      uint64  `json:"cached"`
}

type hostCPU struct {
	CPU       int     `json:"cpu"`
	VendorID  string  `json:"vendorId"`
	ModelName string  `json:"modelName"`
	Cores     int     `json:"cores"`
	Mhz       float64 `json:"mhz"`
}

type hostSystem struct {
	Hostname      string `json:"hostname"`
	Uptime        uint64 `json:"uptime"`
	BootTime      uint64 `json:"bootTime"`
	OS            string `json:"os"`
	KernelArch    string `json:"kernelArch"`
	KernelVersion string `json:"kernelVersion"`
}

type hostDisk struct {
	Path        string  `json:"path"`
	Total       uint64  `json:"total"`
	Free        uint64  `json:"free"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
}

// agentHost answers GET /v1/agent/host.
func agentHost(*call) (any, error) {
	h := &hostInfo{CollectionTime: time.Now().UnixNano()}
	for _, collect := range []func(*hostInfo) error{collectMemory, collectCPU, collectSystem, collectDisk} {
		if err := collect(h); err != nil {
			h.Errors = append(h.Errors, err.Error())
		}
	}
	return h, nil
}

func collectMemory(h *hostInfo) error {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	kib := make(map[string]uint64)
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		name, rest, _ := strings.Cut(sc.Text(), ":")
		n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64) // lines without a number count as 0
		kib[name] = n * 1024
	}
	m := &hostMemory{Total: kib["MemTotal"], Available: kib["MemAvailable"], Free: kib["MemFree"], Buffers: kib["Buffers"], Cached: kib["Cached"]}
	m.Used = m.Total - m.Available
	m.UsedPercent = percent(m.Used, m.Total)
	h.Memory = m
	return nil
}

func collectCPU(h *hostInfo) error {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "processor" {
			n, _ := strconv.Atoi(value) // always a number
			h.CPU = append(h.CPU, hostCPU{CPU: n, Cores: 1})
		}
		if len(h.CPU) == 0 {
			continue
		}
		last := &h.CPU[len(h.CPU)-1]
		switch name {
		case "vendor_id":
			last.VendorID = value
		case "model name":
			last.ModelName = value
		case "cpu MHz":
			last.Mhz, _ = strconv.ParseFloat(value, 64) // always a number
		}
	}
	return nil
}

func collectSystem(h *hostInfo) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	sys := &hostSystem{Hostname: name, OS: runtime.GOOS, KernelArch: runtime.GOARCH}
	h.Host = sys
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	sys.KernelVersion = strings.TrimSpace(string(release))
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return err
	}
	seconds, _, _ := strings.Cut(string(uptime), " ")
	up, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	sys.Uptime = uint64(up)
	sys.BootTime = uint64(time.Now().Unix()) - sys.Uptime
	return nil
}

func collectDisk(h *hostInfo) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs("/", &st); err != nil {
		return err
	}
	block := uint64(st.Bsize)
	d := &hostDisk{Path: "/", Total: st.Blocks * block, Free: st.Bavail * block}
	d.Used = d.Total - st.Bfree*block
	d.UsedPercent = percent(d.Used, d.Total)
	h.Disk = d
	return nil
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
