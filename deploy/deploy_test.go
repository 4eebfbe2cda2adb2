// Package deploy holds no code: these tests hold the deployment files against
// the types of what reads them, and the configurations in them against the
// gate itself.
package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"hopgate/config"
	"hopgate/proxy"
	"hopgate/telemetry"
)

// compiles checks a configuration as `hopgate check` does, and gives it. The
// files in it are those of a container; secrets are written below a temporary
// folder in their place.
func compiles(t *testing.T, name, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	const mount = "/etc/hopgate/secret/"
	for _, line := range strings.Split(text, "\n") {
		if _, file, found := strings.Cut(line, mount); found {
			file, _, _ = strings.Cut(file, "}")
			if err := os.WriteFile(filepath.Join(dir, file), []byte("sk_test_1234567890\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	text = strings.ReplaceAll(text, mount, dir+"/")
	cfg, errs := config.Parse(name, []byte(text), func(string) (string, bool) { return "sk_test_1234567890", true })
	if cfg == nil {
		t.Fatal(errs.Err())
	}
	gate := proxy.New(proxy.Options{Metrics: telemetry.New(), Log: slog.New(slog.DiscardHandler)})
	gate.Discard(gate.Compile(cfg, errs))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range errs.Warnings() {
		// Within a cluster that is a choice, which the manifest explains.
		if !strings.Contains(w.Message, "over the network in the clear") {
			t.Errorf("warning: %v", w)
		}
	}
	return cfg
}

// object is one document of a manifest.
type object struct {
	kind string
	yaml []byte
}

func (o *object) decode(t *testing.T, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(o.yaml, into); err != nil {
		t.Errorf("%s: %v", o.kind, err)
	}
}

func objects(t *testing.T, name string) []object {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []object
	for r := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		var about struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(doc, &about); err != nil {
			t.Fatal(err)
		}
		list = append(list, object{about.APIVersion + " " + about.Kind, doc})
	}
}

func TestKubernetes(t *testing.T) {
	manifests, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(manifests) < 2 {
		t.Fatal(manifests, err)
	}
	for _, name := range manifests {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var configs []*config.Config
			maps := map[string]corev1.ConfigMap{}
			var deployments []appsv1.Deployment
			var services []corev1.Service
			for _, o := range objects(t, name) {
				switch o.kind {
				case "v1 ConfigMap":
					var m corev1.ConfigMap
					o.decode(t, &m)
					maps[m.Name] = m
					configs = append(configs, compiles(t, name, m.Data["hopgate.yaml"]))
				case "apps/v1 Deployment":
					var d appsv1.Deployment
					o.decode(t, &d)
					deployments = append(deployments, d)
				case "v1 Service":
					var s corev1.Service
					o.decode(t, &s)
					services = append(services, s)
				case "policy/v1 PodDisruptionBudget":
					var b policyv1.PodDisruptionBudget
					o.decode(t, &b)
				case "networking.k8s.io/v1 NetworkPolicy":
					var p networkingv1.NetworkPolicy
					o.decode(t, &p)
				default:
					t.Errorf("%s: no type is known to hold it against", o.kind)
				}
			}
			if len(configs) != 1 || len(deployments) != 1 || len(services) != 1 {
				t.Fatalf("%d configurations, %d deployments, %d services; want one of each", len(configs), len(deployments), len(services))
			}
			checkPod(t, &deployments[0].Spec.Template, maps, configs[0])
			checkService(t, &services[0], &deployments[0].Spec.Template)
			if d := deployments[0].Spec; !matches(d.Selector.MatchLabels, d.Template.Labels) {
				t.Error("the deployment does not select its own pods")
			}
		})
	}
}

func matches(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

// gateOf finds hopgate's container; a native sidecar is an init container
// that is always restarted.
func gateOf(t *testing.T, pod *corev1.PodSpec) *corev1.Container {
	t.Helper()
	for i := range pod.InitContainers {
		if c := &pod.InitContainers[i]; c.Name == "hopgate" {
			if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
				t.Error("hopgate is an init container that ends: the pod would never start")
			}
			return c
		}
	}
	for i := range pod.Containers {
		if pod.Containers[i].Name == "hopgate" {
			return &pod.Containers[i]
		}
	}
	t.Fatal("no container is called hopgate")
	return nil
}

func checkPod(t *testing.T, template *corev1.PodTemplateSpec, maps map[string]corev1.ConfigMap, cfg *config.Config) {
	t.Helper()
	pod := &template.Spec
	c := gateOf(t, pod)

	checkDrain(t, pod, c, cfg)
	checkProbes(t, c)
	checkSecurity(t, pod, c)

	if len(c.Args) != 3 || c.Args[0] != "serve" || c.Args[1] != "-c" {
		t.Fatalf("args are %q", c.Args)
	}
	// The file that serve is told to read must be mounted, and every file
	// that the configuration names lies in some volume.
	files := map[string]bool{c.Args[2]: false} // path: whether it is written
	if u := cfg.Upstreams["backend"]; u.Secret == nil {
		t.Error("the backend has no secret")
	}
	for _, i := range cfg.Issuers {
		if i.JWKS.CacheFile != "" {
			files[i.JWKS.CacheFile] = true
		}
	}
	for path, written := range files {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return strings.HasPrefix(path, m.MountPath+"/") && m.ReadOnly != written
		}) {
			t.Errorf("%s (written: %v) lies in no volume of that kind", path, written)
		}
	}
	for _, m := range c.VolumeMounts {
		at := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if at < 0 {
			t.Errorf("volume %s is mounted and does not exist", m.Name)
		} else if v := pod.Volumes[at]; v.ConfigMap != nil {
			if _, ok := maps[v.ConfigMap.Name]; !ok {
				t.Errorf("volume %s is of ConfigMap %s, which is not in the file", m.Name, v.ConfigMap.Name)
			}
		}
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Error("no memory limit or CPU request")
	}
	checkMemory(t, c)
}

// checkDrain checks that requests go on being answered while Services notice
// that the pod ends, and that the kubelet does not kill what still drains.
func checkDrain(t *testing.T, pod *corev1.PodSpec, gate *corev1.Container, cfg *config.Config) {
	t.Helper()
	grace := 30 * time.Second
	if s := pod.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	notice, need := cfg.Server.DrainDelay, cfg.Server.Drain+cfg.Server.DrainDelay
	for i := range pod.Containers {
		c := &pod.Containers[i]
		if c == gate {
			continue
		}
		// The gate is a sidecar: it is told to end when the others have.
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Errorf("container %s ends while Services still send requests: it has no preStop sleep", c.Name)
			continue
		}
		notice = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		need += notice
	}
	if notice < 5*time.Second {
		t.Errorf("requests are answered for %v after the pod is told to end; Services take some seconds to notice", notice)
	}
	if grace <= need {
		t.Errorf("terminationGracePeriodSeconds is %v; ending takes up to %v", grace, need)
	}
}

func checkProbes(t *testing.T, c *corev1.Container) {
	t.Helper()
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe, "/livez ": c.StartupProbe} {
		if probe == nil || probe.HTTPGet == nil {
			t.Errorf("no probe of %s", name)
			continue
		}
		if probe.HTTPGet.Path != strings.TrimSpace(name) {
			t.Errorf("a probe asks %s, want %s", probe.HTTPGet.Path, name)
		}
		if p := probe.HTTPGet.Port.StrVal; p != "admin" || ports[p] != 9090 {
			t.Errorf("a probe asks port %q", p)
		}
	}
	if ports["http"] != 8080 {
		t.Errorf("ports are %v", ports)
	}
}

func checkSecurity(t *testing.T, pod *corev1.PodSpec, c *corev1.Container) {
	t.Helper()
	if s := pod.AutomountServiceAccountToken; s == nil || *s {
		t.Error("the service account's token is mounted")
	}
	p, s := pod.SecurityContext, c.SecurityContext
	if p == nil || s == nil {
		t.Fatal("no security context")
	}
	isTrue := func(b *bool) bool { return b != nil && *b }
	if !isTrue(p.RunAsNonRoot) && !isTrue(s.RunAsNonRoot) {
		t.Error("runAsNonRoot is not true")
	}
	if p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("no seccomp profile")
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		t.Error("allowPrivilegeEscalation is not false")
	}
	if !isTrue(s.ReadOnlyRootFilesystem) {
		t.Error("readOnlyRootFilesystem is not true")
	}
	if s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		t.Error("capabilities are not all dropped")
	}
	user := p.RunAsUser
	if s.RunAsUser != nil {
		user = s.RunAsUser
	}
	if user == nil || *user != 65532 {
		t.Error("the user is not that of the image, 65532")
	}
}

// checkMemory holds GOMEMLIMIT below the container's limit.
func checkMemory(t *testing.T, c *corev1.Container) {
	t.Helper()
	at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if at < 0 {
		t.Error("GOMEMLIMIT is not set")
		return
	}
	var mib int64
	if _, err := fmt.Sscanf(c.Env[at].Value, "%dMiB", &mib); err != nil {
		t.Errorf("GOMEMLIMIT is %q", c.Env[at].Value)
	}
	if limit := c.Resources.Limits.Memory().Value(); mib<<20 >= limit {
		t.Errorf("GOMEMLIMIT is %d MiB, the container's limit %d bytes", mib, limit)
	}
}

func checkService(t *testing.T, s *corev1.Service, template *corev1.PodTemplateSpec) {
	t.Helper()
	if !matches(s.Spec.Selector, template.Labels) {
		t.Error("the service does not select the pods")
	}
	for _, p := range s.Spec.Ports {
		if p.TargetPort.StrVal != "http" {
			t.Errorf("port %s goes to %s; only http is for callers", p.Name, p.TargetPort.String())
		}
	}
}

// flyConfig is what of Fly's schema the file uses.
type flyConfig struct {
	App           string `toml:"app"`
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   string `toml:"kill_timeout"`
	Build         struct {
		Dockerfile string `toml:"dockerfile"`
	} `toml:"build"`
	Env   map[string]string `toml:"env"`
	Files []struct {
		GuestPath string `toml:"guest_path"`
		LocalPath string `toml:"local_path"`
	} `toml:"files"`
	HTTPService struct {
		InternalPort       int    `toml:"internal_port"`
		ForceHTTPS         bool   `toml:"force_https"`
		AutoStopMachines   string `toml:"auto_stop_machines"`
		AutoStartMachines  bool   `toml:"auto_start_machines"`
		MinMachinesRunning int    `toml:"min_machines_running"`
		Concurrency        struct {
			Type      string `toml:"type"`
			SoftLimit int    `toml:"soft_limit"`
			HardLimit int    `toml:"hard_limit"`
		} `toml:"concurrency"`
	} `toml:"http_service"`
	Checks map[string]struct {
		Type        string `toml:"type"`
		Port        int    `toml:"port"`
		Method      string `toml:"method"`
		Path        string `toml:"path"`
		Interval    string `toml:"interval"`
		Timeout     string `toml:"timeout"`
		GracePeriod string `toml:"grace_period"`
	} `toml:"checks"`
	Metrics struct {
		Port int    `toml:"port"`
		Path string `toml:"path"`
	} `toml:"metrics"`
	VM []struct {
		Size   string `toml:"size"`
		Memory string `toml:"memory"`
	} `toml:"vm"`
}

func TestFly(t *testing.T) {
	text, err := os.ReadFile("fly/hopgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := compiles(t, "fly/hopgate.yaml", string(text))
	file, err := os.Open("fly/fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var fly flyConfig
	if err := toml.NewDecoder(file).DisallowUnknownFields().Decode(&fly); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			t.Fatal(strict.String())
		}
		t.Fatal(err)
	}
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	if got := fmt.Sprint(fly.HTTPService.InternalPort); got != port(cfg.Server.Listen) {
		t.Errorf("internal_port is %s, the gate listens on %s", got, cfg.Server.Listen)
	}
	ready, ok := fly.Checks["ready"]
	if !ok || ready.Path != "/readyz" || fmt.Sprint(ready.Port) != port(cfg.Admin.Listen) {
		t.Errorf("the check is %+v, the admin listener %s", ready, cfg.Admin.Listen)
	}
	for _, d := range []string{ready.Interval, ready.Timeout, ready.GracePeriod} {
		if _, err := time.ParseDuration(d); err != nil {
			t.Error(err)
		}
	}
	if fly.Metrics.Path != "/metrics" || fmt.Sprint(fly.Metrics.Port) != port(cfg.Admin.Listen) {
		t.Errorf("metrics are %+v", fly.Metrics)
	}
	kill, err := time.ParseDuration(fly.KillTimeout)
	if need := cfg.Server.Drain + cfg.Server.DrainDelay; err != nil || kill <= need {
		t.Errorf("kill_timeout is %s; drain_delay and drain take up to %v (%v)", fly.KillTimeout, need, err)
	}
	if fly.KillSignal != "SIGTERM" {
		t.Errorf("kill_signal is %s", fly.KillSignal)
	}
	if !fly.HTTPService.ForceHTTPS || fly.HTTPService.Concurrency.SoftLimit >= fly.HTTPService.Concurrency.HardLimit {
		t.Errorf("http_service is %+v", fly.HTTPService)
	}
	if _, err := os.Stat(filepath.Join("fly", fly.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if len(fly.Files) != 1 {
		t.Fatalf("files are %+v", fly.Files)
	}
	// fly reads it relative to where it is called: in the root, the only folder
	// that the image can be built from.
	if _, err := os.Stat(filepath.Join("..", fly.Files[0].LocalPath)); err != nil {
		t.Error(err)
	}
	if want := command(t)[2]; fly.Files[0].GuestPath != want {
		t.Errorf("the configuration is put to %s, the image reads %s", fly.Files[0].GuestPath, want)
	}
}

// dockerfile gives the instructions of the image's last stage.
func dockerfile(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	return strings.Split(stages[len(stages)-1], "\n")
}

// command gives the image's arguments.
func command(t *testing.T) []string {
	t.Helper()
	var args []string
	for _, line := range dockerfile(t) {
		if list, ok := strings.CutPrefix(line, "CMD "); ok {
			if err := yaml.Unmarshal([]byte(list), &args); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(args) != 3 {
		t.Fatalf("the image's CMD is %q", args)
	}
	return args
}

func TestImage(t *testing.T) {
	lines := dockerfile(t)
	if lines[0] != "scratch" {
		t.Errorf("the image is made from %s", lines[0])
	}
	if !slices.Contains(lines, "USER 65532:65532") {
		t.Error("the image's user is not 65532")
	}
	var copied int
	for _, line := range lines {
		if strings.HasPrefix(line, "COPY ") {
			copied++
			if !strings.HasPrefix(line, "COPY --from=build ") {
				t.Errorf("%s: it does not come from the build", line)
			}
		}
	}
	if copied != 2 {
		t.Errorf("%d files are copied; the image has the binary and the CA roots, nothing else", copied)
	}
}

func TestSystemd(t *testing.T) {
	text, err := os.ReadFile("systemd/hopgate.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			if !found {
				t.Errorf("%q is no setting", line)
			}
			keys[section+"."+key] = append(keys[section+"."+key], value)
		}
	}
	one := func(key string) string {
		if len(keys[key]) != 1 {
			t.Errorf("%s is there %d times", key, len(keys[key]))
			return ""
		}
		return keys[key][0]
	}
	// The file's own defaults are what drains.
	cfg, _ := config.Parse("hopgate.yaml", []byte("{}"), nil)
	stop, err := time.ParseDuration(one("Service.TimeoutStopSec") + "s")
	if need := cfg.Server.Drain + cfg.Server.DrainDelay; err != nil || stop <= need {
		t.Errorf("TimeoutStopSec is %v; drain_delay and drain take up to %v (%v)", stop, need, err)
	}
	if start, check := one("Service.ExecStart"), one("Service.ExecStartPre"); strings.Replace(start, " serve ", " check ", 1) != check {
		t.Errorf("%q is not checked by %q", start, check)
	}
	if one("Service.ExecReload") != "/bin/kill -HUP $MAINPID" {
		t.Error("reload does not send SIGHUP")
	}
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "Restart": "on-failure",
		"CapabilityBoundingSet": "CAP_NET_BIND_SERVICE", "PrivateTmp": "yes", "MemoryDenyWriteExecute": "yes",
	} {
		if got := one("Service." + key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if one("Install.WantedBy") != "multi-user.target" {
		t.Error("nothing wants the unit")
	}
	verifyUnit(t, string(text))
}

// verifyUnit asks systemd itself, where it is there, about keys and values.
func verifyUnit(t *testing.T, text string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	// The binary need not be installed for that.
	program := filepath.Join(t.TempDir(), "hopgate")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "hopgate.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, "/usr/local/bin/hopgate", program)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", unit).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "hopgate.service") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Logf("systemd-analyze could not run: %v", err)
	}
}
