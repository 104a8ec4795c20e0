package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// limit is how long Argo CD lets a script run.
const limit = time.Second

// words are the health statuses that Argo CD knows; anything else it shows as Unknown.
var words = []string{"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}

// argoHealth runs the script that argocd-cm has for the object's kind. It is stricter than Argo CD where that
// would hide a mistake: no script, no table or an unknown word is an error.
func argoHealth(config map[string]string, object map[string]any) (Health, error) {
	key, err := scriptKey(object)
	if err != nil {
		return Health{}, err
	}
	script, there := config[key]
	if !there {
		return Health{}, fmt.Errorf("argocd-cm has no %s", key)
	}
	health, err := runScript(script, object)
	if err != nil {
		return Health{}, fmt.Errorf("%s: %w", key, err)
	}
	return health, nil
}

// scriptKey is the key of argocd-cm under which Argo CD looks for the script of a kind.
func scriptKey(object map[string]any) (string, error) {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, err := schema.ParseGroupVersion(version)
	if err != nil || kind == "" || group.Group == "" {
		return "", fmt.Errorf("apiVersion %q and kind %q name no kind of a group", version, kind)
	}
	return "resource.customizations.health." + group.Group + "_" + kind, nil
}

// runScript gives a script what Argo CD gives it: the object as `obj`, the base, table and package libraries, and of
// `os` nothing (Argo CD has time and date; ours need neither). There is no string and no math library.
func runScript(script string, object map[string]any) (Health, error) {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: machine.NewFunction(library.open), NRet: 0, Protect: true}
		if err := machine.CallByParam(call, lua.LString(library.name)); err != nil {
			return Health{}, fmt.Errorf("opening the library %q: %w", library.name, err)
		}
	}
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	machine.SetContext(within)
	machine.SetGlobal("obj", toLua(machine, object))
	if err := machine.DoString(script); err != nil {
		return Health{}, err
	}
	table, ok := machine.Get(-1).(*lua.LTable)
	if !ok {
		return Health{}, fmt.Errorf("the script returned %s, no table", machine.Get(-1).Type())
	}
	health := Health{Status: text(table, "status"), Message: text(table, "message")}
	if !slices.Contains(words, health.Status) {
		return Health{}, fmt.Errorf("the status is %q, none of %s", health.Status, strings.Join(words, ", "))
	}
	return health, nil
}

// text is a string field of a table; what is no string is shown as what it is, so that it is noticed.
func text(table *lua.LTable, field string) string {
	value := table.RawGetString(field)
	if value == lua.LNil {
		return ""
	}
	return value.String()
}

func toLua(machine *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := machine.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(machine, item))
		}
		return list
	case map[string]any:
		table := machine.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(machine, item))
		}
		return table
	default:
		return lua.LNil
	}
}
